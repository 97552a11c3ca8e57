"""The wheel, alone in a clean environment outside the checkout."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.end_to_end.test_own_pde import MINE, write_pde

ROOT = Path(__file__).resolve().parents[2]


def run(*command: object, cwd: Path) -> str:
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_solves(tmp_path: Path) -> None:
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT)
    run(sys.executable, *build, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    run(python, "-m", "pip", "install", "-q", "-c", constraints, wheel, cwd=tmp_path)
    where = run(python, "-c", "import stde_cli; print(stde_cli.__file__)", cwd=tmp_path)
    assert str(tmp_path) in where
    command = tmp_path / "env" / "bin" / "stde"
    arguments = ("dim=6", "steps=20", "estimator.batch=3", "evaluation.points=100", "run_dir=run")
    run(command, "solve", *arguments, cwd=tmp_path)
    assert (tmp_path / "run" / "summary.json").exists()
    run(command, "report", "run", "--html", "page.html", cwd=tmp_path)
    assert "<svg" in (tmp_path / "page.html").read_text()
    assert "allen_cahn" in run(command, "list", "pde", cwd=tmp_path)
    write_pde(tmp_path)
    run(command, "solve", *MINE, "steps=2", "start=network", "run_dir=mine", cwd=tmp_path)
    assert (tmp_path / "mine" / "summary.json").exists()
