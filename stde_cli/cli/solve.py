"""stde solve: train one PDE."""

import shlex
import sys
from contextlib import suppress
from datetime import datetime
from itertools import count
from pathlib import Path

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from stde_cli.cli import hydra_app
from stde_cli.config.saved import describes_same_run
from stde_cli.config.validate import validate
from stde_cli.errors import StdeError, UsageError
from stde_cli.runs import RunDirectory


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
        summary = _solve(config, _place(config, hydra_config), command)
    except StdeError as error:
        if sweeping:
            print(f"stde: job {hydra_config.job.num}: {error}", file=sys.stderr)
        raise
    error = summary["rel_l2_error"]
    return summary["loss"] if error is None else error


def _solve(config: DictConfig, place: Path | None, command: str) -> dict:
    from stde_cli import session
    from stde_cli.reporting.summary import show_summary

    run = _own_earlier_run(config, place) if config.resume == "auto" else None
    if run is None:
        run = RunDirectory.create(place or _fresh(Path("runs"), config))
        summary = session.solve(config, run, command=command)
    elif run.read_summary()["status"] == "finished":
        summary = run.read_summary()
    else:
        summary = session.resume(config, run, command=command)
    show_summary(summary)
    return summary


def _place(config: DictConfig, hydra_config: HydraConf) -> Path | None:
    """The directory that the user, or the sweep, chose for this run."""
    if config.run_dir is not None:
        return Path(config.run_dir)
    if hydra_config.mode == RunMode.MULTIRUN:
        return Path(hydra_config.sweep.dir) / f"{hydra_config.job.num}-{_slug(config)}"
    return None


def _fresh(parent: Path, config: DictConfig) -> Path:
    """A new directory, named after the problem and the time; runs may start in the same second."""
    name = f"{_slug(config)}-{datetime.now():%Y%m%d-%H%M%S}"
    for k in count():
        place = parent / (name if k == 0 else f"{name}-{k}")
        with suppress(FileExistsError):
            place.mkdir(parents=True)
            return place
    raise AssertionError("unreachable")


def _slug(config: DictConfig) -> str:
    parts = (config.choices.get("pde"), config.choices.get("pde/solution"), f"d{config.dim}")
    return "-".join(filter(None, (*parts, f"s{config.seed}")))


def _own_earlier_run(config: DictConfig, place: Path | None) -> RunDirectory | None:
    """For resume=auto: the run of this very configuration, if it got as far as a checkpoint.

    Raises:
        UsageError: `place` holds the run of another configuration.
    """
    if place is not None:
        run = RunDirectory(place)
        if not run.config.exists():
            return None
        if not describes_same_run(OmegaConf.load(run.config), config):
            why = "it holds a run of another configuration"
            raise UsageError("run_dir", place, why, "choose another directory")
        if not run.has_checkpoint():
            run.discard()
            return None
        return RunDirectory.open(place)
    found = sorted(Path("runs").glob(f"{_slug(config)}-*/config.yaml"), reverse=True)
    for file in found:
        run = RunDirectory(file.parent)
        if run.has_checkpoint() and describes_same_run(OmegaConf.load(file), config):
            return run
    return None
