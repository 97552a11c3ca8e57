"""stde solve: train one PDE."""

import shlex
import sys
from pathlib import Path

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from stde_cli.cli import hydra_app
from stde_cli.config.saved import slug
from stde_cli.config.validate import validate
from stde_cli.jobs.tuning.trial import told
from stde_cli.runs.reporting.summary import show_summary
from stde_cli.runs.summary import Summary
from stde_cli.system.errors import Interrupted, JobFailed, StdeError
from stde_cli.system.interrupts import Interrupts


def main(arguments: list[str]) -> int:
    return hydra_app.run("solve", arguments, task)


def task(config: DictConfig) -> float | None:
    """Solve one configuration; returns the error for sweepers that minimise."""
    hydra_config = HydraConfig.get()
    sweeping = hydra_config.mode == RunMode.MULTIRUN
    overrides = hydra_app.overrides_of(hydra_config)
    command = shlex.join(["stde", "solve", *overrides])
    try:
        with told(config) as trial:
            validate(config)
            place, job = _place(config, hydra_config), hydra_app.name_beside_others(hydra_config)
            if trial:
                trial.begin(place)
            summary = _solve(config, place, command, job)
            if trial:
                trial.tell(summary)
    except StdeError as error:
        if not sweeping or isinstance(error, Interrupted):
            raise
        # Said at once: the other jobs go on, and the sweep's own error comes at their end.
        print(f"stde: job {hydra_config.job.num}: {error}", file=sys.stderr)
        raise JobFailed(hydra_config.job.num, error.status) from error
    finally:
        if sweeping:
            _forget_programs()
    return summary.loss if summary.rel_l2_error is None else summary.rel_l2_error


def _forget_programs() -> None:
    """What was compiled for a job is of no use to the next, and takes a tenth of a GB."""
    import jax

    jax.clear_caches()


def _solve(config: DictConfig, place: Path | None, command: str, job: str | None) -> Summary:
    with Interrupts() as interrupts:
        from stde_cli.jobs.launch import launch

        _, summary = launch(config, place, command=command, interrupts=interrupts, job=job)
    # Of a trial, its study has a line to say.
    if config.trial is None:
        show_summary(summary)
    return summary


def _place(config: DictConfig, hydra_config: HydraConf) -> Path | None:
    """The directory that the user, or the sweep, chose for this run."""
    if config.run_dir is not None:
        return Path(config.run_dir)
    if hydra_app.in_sweep(hydra_config):
        number = hydra_config.job.num if config.trial is None else config.trial.number
        return Path(hydra_config.sweep.dir) / f"{number}-{slug(config)}"
    return None
