import json
import os
import time
from pathlib import Path

import pytest

from stde_cli.cli.main import main
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.listing import list_runs
from stde_cli.runs.summary import Summary


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four runs of an hour ago to four hours ago, one of them in a sweep."""
    monkeypatch.chdir(tmp_path)
    summaries = {
        "runs/first": Summary("finished", pde="poisson", dim=1000, steps=9, steps_planned=9),
        "runs/sweep/0-poisson": Summary("running", pde="poisson", dim=5, steps_planned=90),
        "runs/gone": Summary("running", pde="wave", dim=5, steps_planned=90),
        "elsewhere/failed": Summary("failed", pde="kdv_1d", dim=2, steps=30, steps_planned=90),
    }
    summaries["runs/first"].rel_l2_error = 1e-3
    summaries["elsewhere/failed"].loss = 2.0
    for hours, (name, summary) in enumerate(summaries.items(), start=1):
        run = RunDirectory(Path(name))
        run.path.mkdir(parents=True)
        run.write_config("dim: 5\n")
        run.write_summary(summary)
        run.append_metrics({"step": 7, "loss": 0.5, "rel_l2_error": 0.25})
        run.append_metrics({"step": 8, "loss": 0.125})
        for file in run.path.iterdir():
            written = time.time() - 3600 * hours
            os.utime(file, (written, written))
    # No run: a checkpoint's own files, and a directory of something else.
    (tmp_path / "runs" / "first" / "checkpoints" / "9").mkdir(parents=True)
    (tmp_path / "runs" / "notes").mkdir()
    return tmp_path


def test_runs_are_listed_with_what_became_of_them(runs: Path) -> None:
    with RunDirectory(Path("runs/sweep/0-poisson")).locked():
        found = list_runs([Path("runs"), Path("multirun"), Path("runs/gone")])
    listed = {run.run_dir: run for run in found}
    # The lock file is not what a run's age is told by.
    assert list(listed) == ["runs/first", "runs/sweep/0-poisson", "runs/gone"]
    assert [run.status for run in found] == ["finished", "running", "killed"]
    assert (listed["runs/first"].rel_l2_error, listed["runs/first"].steps) == (1e-3, 9)
    gone = listed["runs/gone"]
    assert (gone.steps, gone.steps_planned, gone.loss, gone.rel_l2_error) == (8, 90, 0.125, 0.25)
    (failed,) = list_runs([Path("elsewhere")])
    # The rows are of steps before those that the summary of its end tells of.
    assert (failed.steps, failed.loss) == (30, 2.0)
    assert gone.age_seconds == pytest.approx(3 * 3600, abs=100)


def test_a_summary_that_cannot_be_read_is_listed_too(runs: Path) -> None:
    Path("elsewhere/failed/summary.json").write_text("{")
    assert [run.status for run in list_runs([Path("elsewhere")])] == ["unreadable"]


def test_the_command(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["runs/first", "poisson", "finished", "1,000", "1.00e-03", "9", "1", "h"] in rows
    assert ["runs/gone", "wave", "killed", "5", "2.50e-01", "8", "of", "90", "3", "h"] in rows
    assert main(["runs", "elsewhere", "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)
    assert (run["run_dir"], run["status"], run["dim"]) == ("elsewhere/failed", "failed", 2)
    assert main(["runs", "elsewhere/failed/checkpoints"]) == 2
    assert "no such directory" in capsys.readouterr().err
    assert main(["runs", "runs/notes"]) == 0
    assert capsys.readouterr().out == "no runs in runs/notes\n"
