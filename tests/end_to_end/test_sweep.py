import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from omegaconf import DictConfig

from stde_cli.cli import hydra_app
from stde_cli.cli.sweeps import Stopped
from stde_cli.system.errors import Interrupted, SweepFailed
from tests.end_to_end.command import SMALL, environment, stde, stde_anew


def summaries(where: Path) -> list[dict]:
    files = sorted((where / "runs").glob("sweep-*/*/summary.json"))
    return [json.loads(file.read_text()) for file in files]


@pytest.mark.parametrize("launcher", ["basic", pytest.param("joblib", marks=pytest.mark.slow)])
def test_a_sweep_runs_every_job(launcher: str, tmp_path: Path) -> None:
    options = (*SMALL, "seed=0,1", f"hydra/launcher={launcher}")
    # Other processes are started from an interpreter, not from a fork of one.
    run = stde_anew if launcher == "joblib" else stde
    said = run("solve", "-m", *options, cwd=tmp_path).check().out.splitlines()
    # One after another they need no names; side by side they have their own, of what they vary.
    names = ["#0 seed=0  ", "#1 seed=1  "] if launcher == "joblib" else ["", ""]
    assert {f"{name}compiling" for name in names} <= set(said)
    assert sum("training from step 0" in line for line in said) == 2
    found = summaries(tmp_path)
    assert [s["seed"] for s in found] == [0, 1]
    assert all(s["status"] == "finished" for s in found)


def test_a_failing_job_is_named_and_the_others_run(tmp_path: Path) -> None:
    outcome = stde("solve", "-m", *SMALL, "train.points=0,5", cwd=tmp_path)
    assert outcome.status == 2
    first, last = outcome.err.splitlines()
    assert first.startswith("stde: job 0: train.points=0: ")
    assert last == "stde: job 0 of the sweep failed"
    assert [s["status"] for s in summaries(tmp_path)] == ["finished"]


def test_a_sweep_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    # Not in this process: a sweep forgets all that was compiled, that of other tests too.
    outcome = stde("solve", "-m", *SMALL, "seed=-1,-2", cwd=tmp_path)
    assert outcome.status == 2
    assert outcome.err.splitlines() == [
        "stde: job 0: seed=-1: must be 0 or more",
        "stde: job 1: seed=-2: must be 0 or more",
        "stde: jobs 0 and 1 of the sweep failed",
    ]
    assert not list(tmp_path.iterdir())


def test_a_signal_to_one_process_of_a_sweep_is_told_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs are done by other processes; the one that is stopped takes up no more."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Stopped, "by", None)
    elsewhere = property(lambda _: -1, lambda *_: None)
    monkeypatch.setattr(hydra_app._Task, "_process", elsewhere, raising=False)
    begun = []

    def task(config: DictConfig) -> float:
        begun.append(config.seed)
        if config.seed == 1:
            raise Interrupted("stopped by SIGTERM", signal.SIGTERM)
        return 0.0

    with pytest.raises(SweepFailed) as told:
        hydra_app.run("solve", ["-m", "seed=0,1,2,3", "hydra.sweep.dir=sweep"], task)
    assert begun == [0, 1]
    assert told.value.status == 143
    assert "jobs 1, 2 and 3 of the sweep did not finish" in str(told.value)
    assert "hydra.sweep.dir=sweep and resume=auto" in str(told.value)


def test_a_sweep_in_processes_saves_before_it_stops(tmp_path: Path) -> None:
    """Two jobs at work, and two that wait for them and do not begin."""
    long = (*SMALL, "steps=10000000", "evaluation.every=10000000", "train.log_every=10")
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=sweep")
    command = [sys.executable, "-m", "stde_cli", "solve", "-m", *long, *launcher, "seed=0,1,2,3"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for _ in range(3000):
        rows = [f for f in (tmp_path / "sweep").glob("*/metrics.jsonl") if f.stat().st_size]
        if len(rows) == 2 or process.poll() is not None:
            break
        time.sleep(0.1)
    # As Ctrl-C does: to all of them.
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, out + err
    assert err.count("\n") == 1, err
    assert "hydra.sweep.dir=sweep and resume=auto" in err
    files = sorted((tmp_path / "sweep").glob("*/summary.json"))
    found = [json.loads(file.read_text()) for file in files]
    assert [s["status"] for s in found] == ["interrupted"] * 2
    for file, summary in zip(files, found, strict=True):
        assert (file.parent / "checkpoints" / str(summary["steps"])).is_dir()
