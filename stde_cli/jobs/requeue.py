"""A run within a Slurm job: back into the queue once it is saved, and found again from there."""

from collections.abc import Iterator
from contextlib import contextmanager

from stde_cli.runs.attempts import CANCELLED, REQUEUED, Attempts, futile
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.summary import FAILED, INTERRUPTED
from stde_cli.system import slurm
from stde_cli.system.errors import Interrupted, RunFailed, StdeError


@contextmanager
def requeued(run: RunDirectory) -> Iterator[None]:
    """Within the context a run is at work. Where a warning of Slurm's stops it, it comes again.

    Not where the job was cancelled, nor where that would lead nowhere: see `refuse_if_futile`.

    Raises:
        Interrupted: as the run does, with a word on what becomes of the job.
        RunFailed: it stays where it is.
    """
    try:
        yield
    except Interrupted as error:
        job = slurm.this_job()
        if job is None or error.signal_number not in slurm.WARNINGS:
            raise
        raise _ended(run, job, error) from error


def refuse_if_futile(run: RunDirectory) -> None:
    """
    Raises:
        RunFailed: another attempt is not worth it.
    """
    why = futile(Attempts(run.path).all, run.newest_checkpoint() or 0)
    if why is None or run.at_work():
        return
    told = f"{run.path}: {why}; to try again all the same: resume=retry, or stde resume {run.path}"
    summary = run.read_summary()
    if summary.status != FAILED:
        summary.status, summary.failure = FAILED, told
        run.write_summary(summary)
    raise RunFailed(told)


def _ended(run: RunDirectory, job: slurm.Job, error: Interrupted) -> StdeError:
    attempts = Attempts(run.path)
    try:
        fate = job.fate()
    except slurm.SlurmError as silent:
        return Interrupted(
            f"{error}; Slurm was not asked to requeue: {silent}", error.signal_number
        )
    if fate != slurm.AT_WORK:
        attempts.end_otherwise(REQUEUED if fate == slurm.REQUEUED else CANCELLED)
        return error
    try:
        refuse_if_futile(run)
    except RunFailed as failed:
        return failed
    # Slurm ends this process once it is asked: all that is to be kept is written before.
    attempts.end_otherwise(REQUEUED)
    try:
        job.requeue()
    except slurm.SlurmError as refused:
        attempts.end_otherwise(INTERRUPTED)
        return Interrupted(f"{error}; not requeued: {refused}", error.signal_number)
    told = str(error).partition(";")[0]
    return Interrupted(f"{told}; job {job.name} is back in the queue", error.signal_number)
