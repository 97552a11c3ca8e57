import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import yaml

from stde_cli.system.errors import UsageError
from tests.end_to_end.command import SMALL, environment, in_process, stde, stde_interrupted
from tests.end_to_end.test_solve import read_arrays, read_metrics

LONG = (*SMALL, "steps=4000", "train.log_every=200", "evaluation.every=4000")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("unbroken")
    stde("solve", *LONG, "run_dir=run", cwd=where).check()
    return where / "run"


@pytest.mark.parametrize(
    ("number", "status", "resume"),
    [
        (signal.SIGINT, 130, ("resume", "run")),
        (signal.SIGTERM, 143, ("solve", *LONG, "run_dir=run", "resume=auto")),
    ],
)
def test_a_stopped_run_resumes_to_the_same_bits(
    number: signal.Signals, status: int, resume: tuple[str, ...], tmp_path: Path, unbroken: Path
) -> None:
    run = tmp_path / "run"
    outcome = stde_interrupted(
        "solve",
        *LONG,
        "run_dir=run",
        cwd=tmp_path,
        number=number,
        once=run / "metrics.jsonl",
        contains='"step": 200,',
    )
    assert outcome.status == status, outcome
    assert outcome.err.count("\n") == 1
    assert "stde resume run" in outcome.err
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert 0 < summary["steps"] < 4000

    stde(*resume, cwd=tmp_path).check()
    resumed, whole = read_arrays(run), read_arrays(unbroken)
    assert resumed.keys() == whole.keys()
    for name in whole:
        np.testing.assert_array_equal(resumed[name], whole[name])
    assert [r["step"] for r in read_metrics(run)] == [r["step"] for r in read_metrics(unbroken)]
    assert [r["loss"] for r in read_metrics(run)] == [r["loss"] for r in read_metrics(unbroken)]
    final = json.loads((run / "summary.json").read_text())
    assert final["status"] == "finished"
    assert (
        final["rel_l2_error"] == json.loads((unbroken / "summary.json").read_text())["rel_l2_error"]
    )


def test_resume_auto_finds_its_own_run_among_others(tmp_path: Path) -> None:
    """Without run_dir: by configuration, and never the run of another one."""
    stde("solve", *SMALL, "seed=1", cwd=tmp_path).check()
    out = stde("solve", *SMALL, "resume=auto", cwd=tmp_path).check().out
    assert "training" in out, "there is none of this configuration yet"
    assert len(list((tmp_path / "runs").iterdir())) == 2
    program = (
        "import sys; from stde_cli.cli.main import main; "
        "status = main(sys.argv[1:]); assert 'jax' not in sys.modules; sys.exit(status)"
    )
    command = [sys.executable, "-c", program, "solve", *SMALL, "resume=auto"]
    again = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "training" not in again.stdout, "the finished run was found, nothing is left to do"
    assert "relative L2 error" in again.stdout
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_resume_auto_begins_anew_where_nothing_was_saved(
    finished_run: Path, tmp_path: Path
) -> None:
    """As after a kill ahead of the first checkpoint; files of the user's stay where they are."""
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    shutil.rmtree(run / "checkpoints")
    (run / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in run.iterdir()}
    arguments = ("solve", *SMALL, "run_dir=run")
    outcome = stde(*arguments, cwd=tmp_path)
    assert (outcome.status, "add resume=auto" in outcome.err) == (2, True)
    outcome = stde(*arguments, "seed=3", "resume=auto", cwd=tmp_path)
    assert (outcome.status, "another configuration" in outcome.err) == (2, True)
    assert before == {path: path.read_bytes() for path in run.iterdir()}

    stde(*arguments, "resume=auto", cwd=tmp_path).check()
    assert (run / "notes.txt").read_text() == "mine"
    assert [row["step"] for row in read_metrics(run)] == list(range(1, 41))
    whole, again = read_arrays(finished_run), read_arrays(run)
    np.testing.assert_array_equal(again["step"], whole["step"])


def test_resume_of_a_finished_run_shows_its_summary(finished_run: Path) -> None:
    out = stde("resume", str(finished_run), cwd=finished_run).check().out
    assert "finished already" in out


def _does_not_fit(*arguments: Any, **named: Any) -> NoReturn:
    raise UsageError("dim", 6, "does not fit")


def test_a_finished_run_is_trained_further(
    finished_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The schedule, linear to zero, spans all the steps; what was learned stays."""
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    before = read_metrics(run)
    outcome = in_process("resume", str(run), "steps=50", capsys=capsys).check()
    assert "from step 40 to step 50: the schedule spans all of them" in outcome.out
    assert "learning rate is 2.00e-04" in outcome.out
    rows = read_metrics(run)
    assert rows[: len(before)] == before
    assert [row["step"] for row in rows[len(before) :]] == list(range(41, 51))
    assert [row["learning_rate"] for row in rows[-2:]] == pytest.approx([4e-5, 2e-5], rel=1e-3)
    assert yaml.safe_load((run / "config.yaml").read_text())["steps"] == 50
    summary = json.loads((run / "summary.json").read_text())
    found = (summary["status"], summary["steps"], summary["steps_planned"])
    assert found == ("finished", 50, 50)

    left = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    # One that comes to nothing leaves what the run was.
    with monkeypatch.context() as patched:
        patched.setattr("stde_cli.jobs.solve.prepared", _does_not_fit)
        assert in_process("resume", str(run), "steps=90", capsys=capsys).status == 2
    # But that it was tried.
    left |= {run / name: (run / name).read_bytes() for name in ("console.log", "attempts.json")}
    assert left == {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    for asked, why in (("steps=49", "has taken 50 steps already"), ("dim=3", "is not steps=N")):
        outcome = in_process("resume", str(run), asked, capsys=capsys)
        assert (outcome.status, why in outcome.err) == (2, True), outcome
    assert left == {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    assert "finished already" in in_process("resume", str(run), "steps=50", capsys=capsys).out


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    checkpoints = ("checkpoint.every=10", "checkpoint.keep=3")
    stde("solve", *SMALL, *checkpoints, "run_dir=r", cwd=tmp_path).check()
    kept = {p.name for p in (tmp_path / "r" / "checkpoints").iterdir() if p.name.isdigit()}
    assert kept == {"20", "30", "40"}


def test_a_run_that_turns_non_finite_stops_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    arguments = ("optimizer=sgd", "schedule=constant", "optimizer.learning_rate=3e3")
    outcome = stde("solve", *SMALL, *arguments, "checkpoint.every=1", "run_dir=run", cwd=tmp_path)
    assert outcome.status == 1, outcome
    assert outcome.err.count("\n") == 1
    assert "not finite" in outcome.err
    assert "step" in outcome.err
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert all(np.isfinite(array).all() for array in read_arrays(tmp_path / "run").values())


@pytest.mark.slow
def test_a_run_from_least_squares_resumes_to_the_same_bits(tmp_path: Path) -> None:
    """Start and network with all their parts; and its values can be asked for."""
    parts = (
        *("start=least_squares", "start.window=2", "start.degree=2", "start.rounds=1"),
        *("network=additive_mlp", "network.window=1", "network.degree=1"),
    )
    small = ("dim=5", "steps=4", "checkpoint.every=2", "network.width=4", "evaluation.points=10")
    stde("solve", *small, *parts, "estimator.batch=2", "run_dir=run", cwd=tmp_path).check()
    run = tmp_path / "run"
    whole = read_arrays(run)
    guess = ("powers", "polynomials.readout", "polynomials.partners.members")
    assert {"units.loss", *(f"ansatz.guess.{name}" for name in guess)} <= set(whole)
    # As if it had been stopped after two steps.
    shutil.rmtree(run / "checkpoints" / "4")
    summary = json.loads((run / "summary.json").read_text())
    summary |= {"status": "interrupted", "steps": 2}
    (run / "summary.json").write_text(json.dumps(summary))
    stde("resume", "run", cwd=tmp_path).check()
    resumed = read_arrays(run)
    assert resumed.keys() == whole.keys()
    for name in whole:
        np.testing.assert_array_equal(resumed[name], whole[name])
    assert resumed["step"] == 4

    np.save(tmp_path / "points.npy", np.full((3, 5), 0.1))
    asked = ("--points", "points.npy", "--derivatives", "laplacian,u_x3", "--out", "values.npy")
    stde("predict", "run", *asked, cwd=tmp_path).check()
    assert np.isfinite(np.load(tmp_path / "values.npy")).all()


def test_a_long_start_is_left_at_once(tmp_path: Path) -> None:
    """A start of minutes: what it computes is of no use to anybody then."""
    endless = ("start=least_squares", "start.rounds=100000", "dim=6", "steps=1")
    endless += ("start.window=1", "start.degree=1", "estimator.batch=3")
    outcome = stde_interrupted(
        "solve",
        *endless,
        "run_dir=run",
        cwd=tmp_path,
        number=signal.SIGINT,
        once=tmp_path / "run" / "console.log",
        contains="finding where to start",
    )
    assert outcome.status == 130, outcome
    assert "before the first step" in outcome.err
    assert not (tmp_path / "run").exists()
