"""A PDE of the user's own, in one YAML file, from the command line."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from jax.experimental.compilation_cache import compilation_cache

from stde_cli.problem.operators import Partial
from stde_cli.runs.directory import RunDirectory
from tests.end_to_end.command import environment, in_process, stde
from tests.end_to_end.test_solve import SUMMARY_KEYS, read_arrays, read_metrics

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PDES = sorted(file.stem for file in CONFIGS.glob("pde/*.yaml"))
CHEAP = ("network.width=8", "network.depth=2", "train.points=4", "evaluation.points=16")
MINE = ("--config-dir", "my_pdes", "pde=my_kdv", "steps=20", *CHEAP)
MY_KDV = """\
# u_t + u u_x + α u_xxx = 0: my own soliton
_target_: stde_cli.Symbolic
coordinates:
  t: [0, 1]
  x: [-1, 1]
parameters: {alpha: 0.02, c: 0.3}
residual: u_t + u*u_x + alpha*u_xxx
solution: 3*c*sech(sqrt(c/alpha)/2*(x - c*t))**2
lift: 3*c*sech(sqrt(c/alpha)/2*x)**2
constraint: t
conditions:
  - {at: {x: boundary}, residual: "u - (${pde.solution})", weight: 10}
"""


def write_pde(where: Path) -> None:
    (where / "my_pdes" / "pde").mkdir(parents=True)
    (where / "my_pdes" / "pde" / "my_kdv.yaml").write_text(MY_KDV)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the user's PDE and a finished run of it, not to be changed."""
    where = tmp_path_factory.mktemp("own")
    write_pde(where)
    stde("solve", *MINE, "run_dir=run", cwd=where).check()
    return where


@pytest.fixture(scope="module", autouse=True)
def compiled_once() -> Iterator[None]:
    """The cache of the commands, for this process too, and little effort in compiling."""
    shared = environment()
    changes = {
        "jax_disable_most_optimizations": True,
        "jax_compilation_cache_dir": shared["JAX_COMPILATION_CACHE_DIR"],
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: jax.config.values[name] for name in changes}

    def choose(settings: dict[str, Any]) -> None:
        for name, value in settings.items():
            jax.config.update(name, value)
        # JAX asks once a process whether there is a cache.
        compilation_cache.reset_cache()

    choose(changes)
    yield
    choose(before)


def test_the_run_directory_is_complete(home: Path) -> None:
    summary = json.loads((home / "run" / "summary.json").read_text())
    assert set(SUMMARY_KEYS) <= set(summary)
    assert (summary["status"], summary["pde"], summary["dim"]) == ("finished", "my_kdv", 2)
    assert summary["rel_l2_error"] > 0
    config = yaml.safe_load((home / "run" / "config.yaml").read_text())
    assert config["dim"] == 2
    assert config["pde"]["conditions"][0]["residual"] == f"u - ({config['pde']['solution']})"
    assert [row["step"] for row in read_metrics(home / "run")] == list(range(1, 21))
    assert (home / "run" / "checkpoints" / "20").is_dir()


def test_predictions_take_all_coordinates(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A column for t and one for x; derivatives agree with nested ones."""
    from stde_cli.jobs.trained import load

    points = np.random.default_rng(0).uniform([0, -1], [1, 1], (30, 2))
    np.save(tmp_path / "points.npy", points)
    wanted = {"u_t": Partial((0,)), "u_xxx": Partial((1, 1, 1)), "u_tx": Partial((0, 1))}
    run, out = home / "run", tmp_path / "values.npy"
    files = ("--points", str(tmp_path / "points.npy"), "--out", str(out))
    arguments = ("predict", str(run), *files, "--derivatives", ",".join(wanted))
    in_process(*arguments, capsys=capsys).check()
    values = np.load(out)
    assert values.shape == (30, 4)
    ansatz = load(RunDirectory.open(run)).ansatz

    def expected(x):
        return jnp.stack([ansatz(x), *(o.exact(ansatz, x) for o in wanted.values())])

    x = jnp.asarray(points, jnp.float32)
    np.testing.assert_allclose(values, jax.jit(jax.vmap(expected))(x), rtol=2e-3, atol=2e-3)
    np.save(tmp_path / "points.npy", points[:, 1:])
    refused = in_process(*arguments, capsys=capsys)
    assert refused.status == 2
    assert "1 coordinates, the run has dim=2" in refused.err


def test_evaluate_and_list(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = in_process("evaluate", str(home / "run"), "--points", "50", capsys=capsys).check().out
    assert "rel_l2_error" in out
    assert "residual_rms" in out
    directory = str(home / "my_pdes")
    out = in_process("list", "pde", "--config-dir", directory, capsys=capsys).check().out
    assert "my_kdv" in out
    assert "my own soliton" in out
    assert "kdv_2d" in out


@pytest.mark.slow
def test_a_stopped_run_resumes_to_the_same_bits(home: Path, tmp_path: Path) -> None:
    """Stopped after step 10 of 20 by a signal that the run sends to itself."""
    write_pde(tmp_path)
    script = (
        "import os, signal, sys\n"
        "from stde_cli.cli.main import main\n"
        "from stde_cli.training.events import Save\n"
        "save = Save.__call__\n"
        "def stop(self, chunk):\n"
        "    save(self, chunk)\n"
        "    if chunk.step == 10: os.kill(os.getpid(), signal.SIGTERM)\n"
        "Save.__call__ = stop\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, "solve", *MINE, "run_dir=run"]
    stopped = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert stopped.returncode == 143, stopped
    assert (tmp_path / "run" / "checkpoints" / "10").is_dir()
    stde("resume", "run", cwd=tmp_path).check()
    whole, resumed = read_arrays(home / "run"), read_arrays(tmp_path / "run")
    assert whole.keys() == resumed.keys()
    for name in whole:
        np.testing.assert_array_equal(resumed[name], whole[name])


WRONG = [
    ("pde.residual='u_t + z*u_x'", "pde.residual", "the name z is not known", 7),
    ("pde.residual='u_t + u_y'", "pde.residual", "no partial derivative", 7),
    ("pde.residual='u_t - sine(x)'", "pde.residual", "did you mean sin", 7),
    ("pde.residual='u_t + u^2'", "pde.residual", "write ** for powers", 8),
    ("pde.residual='u_t + u.real'", "pde.residual", "a dot is not part", 7),
    ("pde.residual='u_t + (u*u_x'", "pde.residual", "never closed", 7),
    ("pde.residual='u_t + f*u - f'", "pde.residual", "... - f", 0),
    ("pde.residual='u_t = u_xx'", "pde.residual", "left side minus the right", 5),
    ("pde.solution='u + x'", "pde.solution", "u cannot be used here", 1),
    ("pde.solution='exp(x, t)'", "pde.solution", "exp takes 1 argument", 1),
    ("pde.constraint='t*Laplacian(x)'", "pde.constraint", "did you mean laplacian", 3),
    ("pde.conditions.0.residual='u - f'", "pde.conditions[0].residual", "f cannot be used", 5),
    ("pde.residual='x*t'", "pde.residual", "does not depend on u", 1),
]


@pytest.mark.parametrize(("override", "key", "why", "column"), WRONG)
def test_a_wrong_expression_is_shown_with_a_caret(
    override: str,
    key: str,
    why: str,
    column: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_pde(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    outcome = in_process("solve", *MINE, override, "run_dir=run", capsys=capsys)
    assert (outcome.status, outcome.out) == (2, "")
    told, text, caret = outcome.err.rstrip("\n").split("\n")
    assert told.startswith(f"stde: {key}: ")
    assert why in told
    assert text.strip() == override.split("=", 1)[1].strip("'")
    assert caret.strip() == "^"
    at = caret.index("^") - (len(text) - len(text.lstrip())) + 1
    assert f"at column {at}" in told
    assert column in (0, at)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "run").exists()


WRONG_VALUES = [
    ("pde.conditions.0.weight=ten", ["pde.conditions[0].weight=ten", "above 0"]),
    ("pde.conditions=[u]", ["pde.conditions[0]=u", "must be a mapping"]),
    ("pde.coordinates.t=[1,0]", ["pde.coordinates.t=[1, 0]", "lower end first"]),
    ("dim=4", ["dim=4", "leave dim out"]),
    ("pde.parameters.c=much", ["pde.parameters.c=much", "not a number"]),
    ("+pde.boundary=0", ["pde.boundary=0", "takes no boundary"]),
    ("pde.redisual=u", ["pde.redisual", "did you mean pde.residual"]),
]


@pytest.mark.parametrize(("override", "expected"), WRONG_VALUES)
def test_a_wrong_value_is_one_line(
    override: str,
    expected: list[str],
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(home)
    arguments = ("solve", *MINE, f"run_dir={tmp_path / 'refused'}", override)
    # What is of another type than annotated would be refused by the checks of these tests.
    typed = override.startswith("pde.conditions")
    outcome = stde(*arguments, cwd=home) if typed else in_process(*arguments, capsys=capsys)
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1, outcome.err
    for text in expected:
        assert text in outcome.err
    assert not (tmp_path / "refused").exists()


def test_overrides_of_parameters_and_residual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pde(tmp_path)
    monkeypatch.chdir(tmp_path)
    overrides = ("pde.parameters.c=0.5", "pde.residual='u_t + u_x*c - f'", "+pde.source='x*t'")
    in_process("solve", *MINE, "steps=2", *overrides, "run_dir=run", capsys=capsys).check()
    saved = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["pde"]
    assert saved["parameters"]["c"] == 0.5
    assert saved["residual"] == "u_t + u_x*c - f"
    assert saved["source"] == "x*t"


QUICK = ("kdv_2d", "fokker_planck_log")
"""Partials with conditions, squares and drifts."""


@pytest.mark.parametrize(
    "pde", [pde if pde in QUICK else pytest.param(pde, marks=pytest.mark.slow) for pde in PDES]
)
def test_every_pde_of_the_library_trains(
    pde: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ("dim=6",) if pde in ("poisson", "allen_cahn", "sine_gordon") else ()
    if "{spectral" in (CONFIGS / "pde" / f"{pde}.yaml").read_text():
        small = ("pde.solution.spectral.error=0.01",)
    arguments = (f"pde={pde}", *small, "steps=2", "estimator.batch=2", *CHEAP, "run_dir=run")
    in_process("solve", *arguments, capsys=capsys).check()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("finished", 2)
    assert np.isfinite(summary["loss"])
    # Without an exact solution it is a value that is wanted.
    told = "value_at_point" if summary["rel_l2_error"] is None else "rel_l2_error"
    assert np.isfinite(summary[told])


def test_the_value_at_the_wanted_point_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = ("solve", "pde=hjb_lin", "dim=4", "estimator.batch=4", "steps=20", *CHEAP)
    told = in_process(*typed, "run_dir=run", capsys=capsys)
    assert told.status == 0, told.err
    for text in ("(off by ", "u at the wanted point", "reference there", "relative error there"):
        assert text in told.out
    summary = RunDirectory.open(tmp_path / "run").read_summary()
    assert summary.value_at_point is not None
    assert summary.reference_at_point == 1
    assert summary.rel_error_at_point == pytest.approx(abs(summary.value_at_point - 1))
    logged = [
        row["value_at_point"] for row in read_metrics(tmp_path / "run") if "rel_l2_error" in row
    ]
    assert len(logged) == 9
    again = in_process("evaluate", "run", "--points", "16", capsys=capsys)
    assert f"{summary.value_at_point:.6g}" in again.out
