"""stde solve: train one PDE."""

import shlex
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from stde_cli.cli import hydra_app
from stde_cli.config.earlier import finished_already
from stde_cli.config.kept import slug
from stde_cli.runs.reporting.summary import show_summary
from stde_cli.runs.summary import Summary
from stde_cli.system.errors import Interrupted, JobFailed, StdeError, UsageError
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
        summary = _finished(config, hydra_config) or _solve(config, hydra_config, command)
    except StdeError as error:
        if not sweeping or isinstance(error, Interrupted):
            raise
        # Said at once: the other jobs go on, and the sweep's own error comes at their end.
        print(f"stde: job {hydra_config.job.num}: {error}", file=sys.stderr)
        raise JobFailed(hydra_config.job.num, error.status) from error
    finally:
        if sweeping:
            _forget_programs()
    # Of a trial, its study has a line to say.
    if config.trial is None:
        show_summary(summary)
    return summary.loss if summary.rel_l2_error is None else summary.rel_l2_error


def _forget_programs() -> None:
    """What was compiled for a job is of no use to the next, and takes a tenth of a GB."""
    if "jax" in sys.modules:
        import jax

        jax.clear_caches()


def _finished(config: DictConfig, hydra_config: Any) -> Summary | None:
    """Where it is asked to go on, what has come to its end: known without JAX, in half the time."""
    # What is wrong with a configuration is told where it is checked.
    with suppress(UsageError, OmegaConfBaseException):
        if config.resume != "never" and config.trial is None:
            return finished_already(config, _place(config, hydra_config))
    return None


def _solve(config: DictConfig, hydra_config: Any, command: str) -> Summary:
    # JAX takes a second: what Hydra refuses, and what is finished, is told without it.
    from stde_cli.config.validate import validate
    from stde_cli.config.variants import candidates, composed_here
    from stde_cli.jobs.tuning.trial import told

    with told(config) as trial:
        validate(config)
        place, job = _place(config, hydra_config), hydra_app.name_beside_others(hydra_config)
        if trial:
            trial.begin(place)
        overrides = hydra_app.overrides_of(hydra_config)
        tried = candidates(config, overrides, partial(composed_here, "solve"))
        with Interrupts() as interrupts:
            from stde_cli.jobs.launch import launch

            _, summary = launch(
                config, place, command=command, interrupts=interrupts, job=job, candidates=tried
            )
        if trial:
            trial.tell(summary)
    return summary


def _place(config: DictConfig, hydra_config: Any) -> Path | None:
    """The directory that the user, or the sweep, chose for this run."""
    if config.run_dir is not None:
        return Path(config.run_dir)
    if hydra_app.in_sweep(hydra_config):
        number = hydra_config.job.num if config.trial is None else config.trial.number
        return Path(hydra_config.sweep.dir) / f"{number}-{slug(config)}"
    return None
