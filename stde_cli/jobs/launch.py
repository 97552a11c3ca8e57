"""A configuration and its run directory: a new one, or that of the same run begun before."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from stde_cli.config.earlier import own_earlier_run
from stde_cli.config.kept import slug
from stde_cli.config.saved import chosen
from stde_cli.config.variants import Candidate
from stde_cli.jobs import solve as session
from stde_cli.jobs.requeue import refuse_if_futile, requeued
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.summary import FINISHED, PRUNED, Summary
from stde_cli.system.interrupts import Interrupts
from stde_cli.system.slurm import this_job


def launch(
    config: DictConfig,
    place: Path | None,
    *,
    command: str,
    interrupts: Interrupts,
    job: str | None = None,
    candidates: Sequence[Candidate] = (),
) -> tuple[RunDirectory, Summary]:
    """Solve, or with resume=auto and in a job that Slurm starts again go on.

    Returns the directory and the summary.

    Args:
        config: checked by `validate`.
        place: the directory; None: a new one under runs/.
        candidates: those of its race, where it has one.

    Raises:
        StdeError: as `solve` and `resume` do.
    """
    anew = partial(
        session.solve,
        config,
        command=command,
        interrupts=interrupts,
        job=job,
        candidates=candidates,
    )
    # A job that Slurm starts again goes on, without anybody's saying so.
    job_again = (slurm_job := this_job()) is not None and slurm_job.restarts > 0
    goes_on = config.resume != "never" or job_again
    run = own_earlier_run(config, place, slurm_job) if goes_on else None
    if run is None:
        if place is None:
            name = f"{slug(config)}-{datetime.now():%Y%m%d-%H%M%S}"
            run = RunDirectory.create_named(Path("runs"), name)
        else:
            run = RunDirectory.create(place)
        with requeued(run):
            return run, anew(run=run)
    begun = run.has_checkpoint()
    # Of a trial, its study may have said that it is over.
    over = (FINISHED,) if config.trial is None else (FINISHED, PRUNED)
    if begun and (summary := run.read_summary()).status in over:
        return run, summary
    if config.resume != "retry":
        refuse_if_futile(run)
    with requeued(run):
        if begun:
            config = chosen(run, config)
            summary = session.resume(config, run, command=command, interrupts=interrupts, job=job)
        else:
            summary = anew(run=run, again=True)
    return run, summary
