"""`hydra/sweeper=optuna` through the command line."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end.command import environment, stde, stde_anew, stde_side_by_side

TINY = (
    "dim=2",
    "network.width=4",
    "network.depth=2",
    "estimator.batch=2",
    "evaluation.points=20",
    "evaluation.monitor_points=20",
)
TUNED = ("-m", "hydra/sweeper=optuna", "hydra.sweep.dir=sweep", *TINY)
RATE = "optimizer.learning_rate=tag(log, interval(1e-6, 1e-1))"
PRUNED_EARLY = (
    "hydra.sweeper.pruner.n_startup_trials=2",
    "hydra.sweeper.pruner.n_warmup_steps=0",
)


def outcome(sweep: Path) -> dict:
    return json.loads((sweep / "study.json").read_text())


def statuses(sweep: Path) -> list[str]:
    return [trial["status"] for trial in outcome(sweep)["trials"]]


def test_a_study_prunes_and_goes_on(tmp_path: Path) -> None:
    study = ("solve", *TUNED, RATE, "steps=6", "evaluation.every=2", *PRUNED_EARLY)
    said = stde(*study, "hydra.sweeper.n_trials=3", cwd=tmp_path).check().out
    assert statuses(tmp_path / "sweep") == ["finished", "finished", "pruned"]
    assert "trial 2 pruned" in said
    assert "3 trials: 2 finished, 1 pruned." in said
    assert not [line for line in said.splitlines() if "HYDRA" in line or "study.journal," in line]
    pruned = tmp_path / "sweep" / "2-allen_cahn-two_body-d2-s0"
    summary = json.loads((pruned / "summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("pruned", 2)
    assert "trial" not in summary["command"]
    assert "trial" not in (pruned / "config.yaml").read_text()
    assert " pruned " in stde("runs", "sweep", cwd=tmp_path).check().out

    # By hand, outside the study, it takes all its steps.
    stde("resume", str(pruned), cwd=tmp_path).check()
    assert json.loads((pruned / "summary.json").read_text())["status"] == "finished"

    # The same command goes on; another configuration is another study.
    stde(*study, "hydra.sweeper.n_trials=4", cwd=tmp_path).check()
    assert len(statuses(tmp_path / "sweep")) == 4
    other = stde(*study, "seed=1", "hydra.sweeper.n_trials=5", cwd=tmp_path)
    assert other.status == 2
    assert other.err.count("\n") == 1
    assert "sweep/study.journal: it holds a study of another configuration, with seed=0" in (
        other.err
    )
    page = stde("report", "sweep", "--html", "page.html", "--solutions", "0", cwd=tmp_path)
    page.check()
    assert (tmp_path / "page.html").read_text().count("best so far") == 1
    assert "Best trials" in stde("report", "sweep", cwd=tmp_path).check().out


def test_a_study_of_failures_ends_with_one_line(tmp_path: Path) -> None:
    rates = "optimizer.learning_rate=interval(1e25, 1e30)"
    more = ("steps=4", "optimizer=sgd", "hydra.sweeper.n_trials=2")
    ended = stde("solve", *TUNED, rates, *more, cwd=tmp_path)
    assert ended.status == 1
    last = ended.err.splitlines()[-1]
    assert last.startswith(
        "stde: no trial of the study has finished: 2 failed; the first: the loss"
    )
    assert statuses(tmp_path / "sweep") == ["failed", "failed"]


def test_two_processes_share_a_study_of_two_objectives(tmp_path: Path) -> None:
    study = ("solve", *TUNED, "steps=2", RATE, "hydra.sweeper.n_trials=4")
    study += ("hydra.sweeper.objectives=[rel_l2_error,wall_seconds]",)
    study += ("hydra.sweeper.storage=shared/study.journal",)
    names = ("one", "two")
    commands = ((*study, f"hydra.sweep.dir={name}") for name in names)
    said = [each.check() for each in stde_side_by_side(*commands, cwd=tmp_path)]
    assert all("pruning is off" in each.out + each.err for each in said)
    runs = sorted(int(run.parent.name[0]) for run in tmp_path.glob("*/*/summary.json"))
    assert runs == [0, 1, 2, 3]
    last = max((outcome(tmp_path / name) for name in names), key=lambda o: str(o["trials"]))
    assert len(last["trials"]) == 4


@pytest.mark.slow
def test_what_was_at_work_in_a_killed_study_goes_on(tmp_path: Path) -> None:
    study = ("solve", *TUNED, RATE, "steps=1000", "checkpoint.every=20", "train.steps_per_call=20")
    study = (*study, "hydra.sweeper.n_trials=1")
    process = subprocess.Popen(
        [sys.executable, "-m", "stde_cli", *study], cwd=tmp_path, env=environment()
    )
    run = tmp_path / "sweep" / "0-allen_cahn-two_body-d2-s0"
    for _ in range(3000):
        if (run / "checkpoints" / "40").exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    said = stde_anew(*study, cwd=tmp_path).check().out
    assert "tried again: trials 0" in said
    assert "training from step 0" not in said
    (trial,) = outcome(tmp_path / "sweep")["trials"]
    assert (trial["number"], trial["status"]) == (1, "finished")
    assert trial["run_dir"] == str(run)
