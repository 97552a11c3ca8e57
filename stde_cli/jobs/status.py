"""What became of each job of a sweep, from the run directories, and from Slurm where it is there.

Nothing is written.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stde_cli.config import sweeps
from stde_cli.runs import attempts
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.listing import describe
from stde_cli.runs.submitted import Submitted, run_directories
from stde_cli.runs.summary import FAILED, FINISHED, INTERRUPTED, RUNNING
from stde_cli.system import slurm
from stde_cli.system.errors import UsageError

WAITING, CANCELLED, LOST, NOT_BEGUN = "waiting", "cancelled", "lost", "not begun"


@dataclass
class JobStatus:
    """A job of a sweep. What is not known, or does not apply, is None."""

    number: int
    state: str
    """waiting, running, finished, failed, cancelled, interrupted (saved, and not in the queue),
    killed, lost (it ended without a word), unreadable, or not begun."""
    varies: str
    """Its overrides that not all jobs share."""
    run_dir: str | None = None
    step: int | None = None
    steps: int | None = None
    seconds_left: float | None = None
    """Of training, at the speed that it has."""
    rel_l2_error: float | None = None
    loss: float | None = None
    preempted: int = 0
    """How often it was put back into the queue."""
    why: str | None = None
    """What it waits for, or what it said when it failed."""
    node: str | None = None
    slurm_job: str | None = None
    slurm_seconds_left: float | None = None
    """Of its time limit."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def status_of(sweep: Path) -> list[JobStatus]:
    """The jobs of the sweep, by their numbers.

    Raises:
        UsageError: the directory holds no sweep.
    """
    record, places = Submitted(sweep), run_directories(sweep)
    planned, commands = sweeps.planned(sweep), record.commands()
    overrides = {n: _typed(command) for n, command in commands.items()}
    overrides |= dict(enumerate(planned.jobs)) if planned else {}
    numbers = sorted({*overrides, *places})
    if not numbers:
        why = "holds no sweep" if sweep.is_dir() else "no such directory"
        raise UsageError("DIR", sweep, why, "give the hydra.sweep.dir of stde solve -m")
    arrays = record.arrays()
    try:
        queued = slurm.queue(arrays) if slurm.is_here() else None
    except slurm.SlurmError:
        queued = None
    at_work = sweeps.at_work(sweep)
    shared = _shared(overrides)
    found = []
    for number in numbers:
        varies = " ".join(each for each in overrides.get(number, []) if each not in shared)
        job = _of_run(number, varies, places.get(number))
        _by_its_end(job, record, asked=queued is not None)
        if queued is not None and number in queued:
            _by_queue(job, queued[number])
        elif job.state == NOT_BEGUN and at_work:
            job.state = WAITING
        elif job.state == NOT_BEGUN and number in commands and arrays:
            job.state = WAITING
            if queued is not None:
                began = record.log(number).exists()
                job.state = LOST if began else CANCELLED
                job.why = f"see {record.log(number)}" if began else None
        found.append(job)
    return found


def _of_run(number: int, varies: str, place: Path | None) -> JobStatus:
    """By what its directory says."""
    run = None if place is None else RunDirectory(place)
    if run is None or not run.summary.exists():
        return JobStatus(number, NOT_BEGUN, varies, place and str(place))
    listed = describe(run)
    job = JobStatus(number, listed.status, varies, str(run.path))
    job.step, job.steps = listed.steps, listed.steps_planned
    job.rel_l2_error, job.loss = listed.rel_l2_error, listed.loss
    tries = attempts.Attempts(run.path).all
    job.preempted = attempts.preempted(tries)
    last = tries[-1] if tries else None
    if last:
        job.slurm_job, job.node = last.job, last.node
    if listed.status == RUNNING and listed.steps_per_second and job.steps is not None:
        left = (job.steps - (job.step or 0)) / listed.steps_per_second
        job.seconds_left = max(0.0, left - listed.age_seconds)
    if listed.status == FAILED:
        job.why = run.read_summary().failure
    if listed.status == INTERRUPTED and last:
        if last.how == attempts.CANCELLED:
            job.state = CANCELLED
        elif last.how == attempts.REQUEUED:
            job.state = WAITING
    return job


def _by_its_end(job: JobStatus, record: Submitted, *, asked: bool) -> None:
    """By what it left when it ended, where it never came to a run, or by its silence."""
    result = record.result(job.number)
    if result and result["status"] and job.state != FINISHED:
        job.state, job.why = FAILED, result["error"]
    elif job.state == WAITING and asked:
        # It was put back into the queue, and is no longer there.
        job.state = CANCELLED


def _by_queue(job: JobStatus, queued: slurm.Queued) -> None:
    """By what Slurm says of it."""
    job.slurm_seconds_left = queued.seconds_left
    if queued.state == "PENDING":
        job.state, job.why, job.seconds_left = WAITING, queued.reason or None, None
    elif queued.state in ("RUNNING", "CONFIGURING") and job.state != FINISHED:
        job.state, job.why, job.node = RUNNING, None, queued.node or job.node


def _typed(command: list[str]) -> list[str]:
    """The overrides of a job, without the word, flags and what places it in its sweep."""
    return [part for part in command[1:] if "=" in part and not part.startswith("hydra.")]


def _shared(overrides: Mapping[int, list[str]]) -> set[str]:
    if len(overrides) < 2:
        return set()
    first, *others = map(set, overrides.values())
    return first.intersection(*others)
