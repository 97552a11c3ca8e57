"""What became of a sweep's jobs, by their directories alone."""

from pathlib import Path

import pytest

from stde_cli.config.sweeps import lock
from stde_cli.jobs.status import status_of
from stde_cli.runs.attempts import Attempts
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.submitted import Submitted
from stde_cli.runs.summary import Summary
from stde_cli.system import slurm
from stde_cli.system.errors import UsageError


@pytest.fixture(autouse=True)
def nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "is_here", lambda: False)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Six jobs on Slurm, of which four have begun and two never will."""
    record = Submitted(tmp_path)
    record.add_jobs({n: ["solve", "dim=6", f"seed={n}", "hydra.job.num=1"] for n in range(6)})
    record.add_array("7", range(6))
    record.end(4, 2, error="seed=4: no")
    for number, status in enumerate(["finished", "failed", "interrupted", "running"]):
        run = RunDirectory(tmp_path / f"{number}-poisson")
        run.path.mkdir()
        run.write_config("dim: 6\n")
        summary = Summary(status, steps=30, steps_planned=90, rel_l2_error=0.5)
        summary.failure = "the loss is not finite" if status == "failed" else None
        summary.steps_per_second = 10.0
        run.write_summary(summary)
        attempts = Attempts(run.path)
        attempts.begin(0, f"7_{number}", "n1")
        if status != "running":
            attempts.end("requeued" if status == "interrupted" else status, 30)
    return tmp_path


def test_each_job_has_its_state(sweep: Path) -> None:
    with RunDirectory(sweep / "3-poisson").locked():
        jobs = status_of(sweep)
    assert [job.state for job in jobs] == [
        "finished",
        "failed",
        "waiting",
        "running",
        "failed",
        "waiting",
    ]
    assert [job.varies for job in jobs] == [f"seed={n}" for n in range(6)]
    assert (jobs[1].why, jobs[4].why) == ("the loss is not finite", "seed=4: no")
    assert (jobs[2].preempted, jobs[3].preempted) == (1, 0)
    assert (jobs[3].slurm_job, jobs[3].node) == ("7_3", "n1")
    assert 0 < (jobs[3].seconds_left or 0) <= 6
    assert status_of(sweep)[3].state == "killed", "the process is gone"


def test_slurm_knows_better(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = {2: slurm.Queued(2, "PENDING", "Resources", "", 600.0)}
    monkeypatch.setattr(slurm, "is_here", lambda: True)
    monkeypatch.setattr(slurm, "queue", lambda arrays: queue if list(arrays) == ["7"] else {})
    jobs = status_of(sweep)
    assert (jobs[2].state, jobs[2].why) == ("waiting", "Resources")
    assert jobs[5].state == "cancelled", "it never said a word"
    Submitted(sweep).log(5).write_text("srun: error")
    jobs = status_of(sweep)
    assert (jobs[5].state, jobs[5].why) == ("lost", f"see {sweep}/slurm/5.log")


def test_a_sweep_at_work_here_has_jobs_that_wait(tmp_path: Path) -> None:
    (tmp_path / "0-poisson").mkdir()
    assert [job.state for job in status_of(tmp_path)] == ["not begun"]
    with lock(tmp_path):
        assert [job.state for job in status_of(tmp_path)] == ["waiting"]


def test_what_is_no_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no sweep"):
        status_of(tmp_path)
