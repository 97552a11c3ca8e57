"""A configuration and its run directory: a new one, or that of the same run begun before."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path

from omegaconf import DictConfig

from stde_cli.config.saved import describes_same_run, difference, slug
from stde_cli.jobs import solve as session
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.summary import FINISHED, Summary
from stde_cli.system.errors import UsageError
from stde_cli.system.interrupts import Interrupts


def launch(
    config: DictConfig,
    place: Path | None,
    *,
    command: str,
    interrupts: Interrupts,
    job: str | None = None,
) -> tuple[RunDirectory, Summary]:
    """Solve, or with resume=auto go on. Returns the directory and the summary.

    Args:
        config: checked by `validate`.
        place: the directory; None: a new one under runs/.

    Raises:
        StdeError: as `solve` and `resume` do.
    """
    run = _own_earlier_run(config, place) if config.resume == "auto" else None
    again = run is not None and not run.has_checkpoint()
    if run is None:
        if place is None:
            name = f"{slug(config)}-{datetime.now():%Y%m%d-%H%M%S}"
            run = RunDirectory.create_named(Path("runs"), name)
        else:
            run = RunDirectory.create(place)
    elif not again:
        summary = run.read_summary()
        if summary.status != FINISHED:
            summary = session.resume(config, run, command=command, interrupts=interrupts, job=job)
        return run, summary
    return run, session.solve(
        config, run, command=command, interrupts=interrupts, job=job, again=again
    )


def _own_earlier_run(config: DictConfig, place: Path | None) -> RunDirectory | None:
    """For resume=auto: the run of this very configuration; at `place`, even without a checkpoint.

    Raises:
        UsageError: `place` holds the run of another configuration.
    """
    if place is not None:
        run = RunDirectory(place)
        if run.config.exists() and describes_same_run(run, config):
            return run
        if run.has_progress():
            why = "it holds a run of another configuration"
            if run.config.exists() and (differs := difference(run, config)):
                why += f", of another {differs}" if "=" not in differs else f", with {differs}"
            raise UsageError("run_dir", place, why, "choose another directory, or give it alike")
        return None
    found = sorted(Path("runs").glob(f"{slug(config)}-*/config.yaml"), reverse=True)
    for file in found:
        run = RunDirectory(file.parent)
        # A neighbour that cannot be read is not this run.
        with suppress(UsageError):
            if run.has_checkpoint() and describes_same_run(run, config):
                return run
    return None
