"""An exported field, where this package is not."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import stde_cli as stde
from stde_cli.jobs.export import program
from tests.end_to_end.command import environment, in_process
from tests.helpers import NetworkKind, random_ansatz

POINTS = np.random.default_rng(0).normal(size=(7, 6)) / 4

# What docs/python.md says, and that nothing of this package is at hand.
LOADED = """
import sys
sys.modules["stde_cli"] = None
import numpy as np
points = np.load("points.npy")

from jax import export
u = export.deserialize(bytearray(open("u.jax", "rb").read())).call
values = u(points)

assert u(points[:1]).shape == (1,)
np.save("values.npy", values)
"""


def test_it_is_loaded_and_called_without_this_package(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "points.npy", POINTS.astype(np.float32))
    file = tmp_path / "u.jax"
    out = in_process("export", str(finished_run), "--out", str(file), capsys=capsys).check().out
    assert out.startswith(f"{file}: u at points of shape (points, 6), 0.0")
    assert out.endswith("for cpu and cuda\n")
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    values = np.load(tmp_path / "values.npy")
    np.testing.assert_allclose(values, stde.load(finished_run).predict(POINTS), rtol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["points.npy", "u.jax", "values.npy"]


def test_a_file_that_cannot_be_written(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nowhere" / "u.jax"
    done = in_process("export", str(finished_run), "--out", str(file), capsys=capsys)
    assert done.status == 2
    assert done.err.startswith(f"stde: --out={file}: cannot be written (No such file")


@pytest.mark.parametrize("kind", ["mlp", "weight_sharing", "additive_mlp"])
def test_every_network_is_exported_for_any_number_of_points(kind: NetworkKind) -> None:
    field = random_ansatz(6, kind)
    exported = program(field, 6)
    assert exported.platforms == ("cpu", "cuda")
    points = jnp.asarray(POINTS, jnp.float32)
    for count in (1, 7):
        found = jax.jit(exported.call)(points[:count])
        np.testing.assert_allclose(found, jax.vmap(field)(points[:count]), rtol=1e-4)
