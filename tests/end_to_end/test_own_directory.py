"""What lies where the command is given: found, and never in the place of what is installed."""

import sys
from pathlib import Path

import pytest

from stde_cli.cli.main import look_for_classes_in
from tests.end_to_end.command import environment, stde_anew

SHADOWS = ("random", "ast", "threading", "jax", "hydra", "yaml", "pydantic")


@pytest.fixture
def shadowing(tmp_path: Path) -> Path:
    """A directory of files that have the names of modules that every command imports."""
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the {name}.py of the user')\n")
    return tmp_path


def test_a_file_named_as_a_module_of_pythons_stands_for_nothing(shadowing: Path) -> None:
    stde_anew("list", "pde", cwd=shadowing).check()
    stde_anew("solve", "--cfg", "job", cwd=shadowing).check()
    program = ("-c", 'exec "$(dirname "$0")/stde" list loss', sys.executable)
    if (Path(sys.executable).parent / "stde").exists():
        stde_anew(cwd=shadowing, env=environment(), within=("bash", *program)).check()


def test_a_sweeps_other_processes_look_there_last_too(shadowing: Path) -> None:
    (shadowing / "mine.py").write_text(
        "import optax\n"
        "def found(learning_rate: float, steps: int) -> optax.Schedule:\n"
        "    raise ValueError('mine was found')\n"
    )
    # The flag may stand between overrides.
    sweep = ("dim=4", "-m", "hydra/launcher=joblib", "seed=0", "estimator.batch=2")
    mine = ("schedule._target_=mine.found", "~schedule.final_fraction")
    outcome = stde_anew("solve", *sweep, *mine, cwd=shadowing)
    assert outcome.status == 2, outcome
    assert "mine was found" in outcome.err


def test_the_directory_is_looked_in_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", ["somewhere"])
    look_for_classes_in(tmp_path)
    look_for_classes_in(tmp_path)
    assert sys.path == ["somewhere", str(tmp_path)]
