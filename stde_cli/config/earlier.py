"""The run that a configuration began before: what `resume=auto` goes on from, or finds finished."""

from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig

from stde_cli.config.kept import describes_same_run, difference, slug
from stde_cli.runs.attempts import Attempts
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.summary import FINISHED, Summary
from stde_cli.system.errors import UsageError
from stde_cli.system.slurm import Job, this_job


def own_earlier_run(config: DictConfig, place: Path | None, job: Job | None) -> RunDirectory | None:
    """For resume=auto: the run of this very configuration; at `place`, even without a checkpoint.

    So is one that the same Slurm job began.

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
            ours = job is not None and job.name in {each.job for each in Attempts(run.path).all}
            if (ours or run.has_checkpoint()) and describes_same_run(run, config):
                return run
    return None


def finished_already(config: DictConfig, place: Path | None) -> Summary | None:
    """For resume=auto: the summary of the run of this very configuration, if it is finished.

    Raises:
        UsageError: as `own_earlier_run`, or it cannot be read.
    """
    run = own_earlier_run(config, place, this_job())
    if run is None or not run.has_checkpoint():
        return None
    summary = run.read_summary()
    return summary if summary.status == FINISHED else None
