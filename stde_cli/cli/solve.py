"""stde solve: train one PDE."""

import shlex
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import ModuleType

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from stde_cli.cli import hydra_app
from stde_cli.config.saved import describes_same_run
from stde_cli.config.validate import validate
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.reporting.summary import show_summary
from stde_cli.system.errors import Interrupted, JobFailed, StdeError, UsageError
from stde_cli.system.interrupts import Interrupts


def main(arguments: list[str]) -> int:
    return hydra_app.run("solve", arguments, task)


def task(config: DictConfig) -> float | None:
    """Solve one configuration; returns the error for sweepers that minimise."""
    hydra_config = HydraConfig.get()
    sweeping = hydra_config.mode == RunMode.MULTIRUN
    overrides = list(hydra_config.overrides.task)
    command = shlex.join(["stde", "solve", *overrides])
    try:
        validate(config)
        place, job = _place(config, hydra_config), hydra_app.name_beside_others(hydra_config)
        summary = _solve(config, place, command, job)
    except StdeError as error:
        if not sweeping or isinstance(error, Interrupted):
            raise
        # Said at once: the other jobs go on, and the sweep's own error comes at their end.
        print(f"stde: job {hydra_config.job.num}: {error}", file=sys.stderr)
        raise JobFailed(hydra_config.job.num, error.status) from error
    finally:
        if sweeping:
            _forget_programs()
    error = summary["rel_l2_error"]
    return summary["loss"] if error is None else error


def _forget_programs() -> None:
    """What was compiled for a job is of no use to the next, and takes a tenth of a GB."""
    import jax

    jax.clear_caches()


def _solve(config: DictConfig, place: Path | None, command: str, job: str | None) -> dict:
    with Interrupts() as interrupts:
        from stde_cli.jobs import solve as session

        summary = _solve_or_resume(config, place, command, job, session, interrupts)
    show_summary(summary)
    return summary


def _solve_or_resume(
    config: DictConfig,
    place: Path | None,
    command: str,
    job: str | None,
    session: ModuleType,
    interrupts: Interrupts,
) -> dict:
    run = _own_earlier_run(config, place) if config.resume == "auto" else None
    if run is None:
        if place is None:
            name = f"{_slug(config)}-{datetime.now():%Y%m%d-%H%M%S}"
            run = RunDirectory.create_named(Path("runs"), name)
        else:
            run = RunDirectory.create(place)
        return session.solve(config, run, command=command, interrupts=interrupts, job=job)
    if not run.has_checkpoint():
        return session.solve(
            config, run, command=command, interrupts=interrupts, job=job, again=True
        )
    if run.read_summary()["status"] == "finished":
        return run.read_summary()
    return session.resume(config, run, command=command, interrupts=interrupts, job=job)


def _place(config: DictConfig, hydra_config: HydraConf) -> Path | None:
    """The directory that the user, or the sweep, chose for this run."""
    if config.run_dir is not None:
        return Path(config.run_dir)
    if hydra_config.mode == RunMode.MULTIRUN:
        return Path(hydra_config.sweep.dir) / f"{hydra_config.job.num}-{_slug(config)}"
    return None


def _slug(config: DictConfig) -> str:
    parts = (config.choices.get("pde"), config.choices.get("pde/solution"), f"d{config.dim}")
    return "-".join(filter(None, (*parts, f"s{config.seed}")))


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
            raise UsageError("run_dir", place, why, "choose another directory")
        return None
    found = sorted(Path("runs").glob(f"{_slug(config)}-*/config.yaml"), reverse=True)
    for file in found:
        run = RunDirectory(file.parent)
        # A neighbour that cannot be read is not this run.
        with suppress(UsageError):
            if run.has_checkpoint() and describes_same_run(run, config):
                return run
    return None
