"""What a run is before its first step: built, compiled, and at the state where it starts."""

import shutil
from collections.abc import Callable
from typing import NamedTuple

from omegaconf import DictConfig

from stde_cli.config.build import Built, abstract_state, build, check_start, refusing
from stde_cli.runs.directory import RunDirectory
from stde_cli.system.errors import UsageError
from stde_cli.system.resources import available_memory_bytes
from stde_cli.training import Executable, Initialisation, TrainerState
from stde_cli.training.state import state_bytes

_SMALLER = "lower train.points, estimator.batch or network.width, or take network=weight_sharing"


class Plan(NamedTuple):
    """A run of which nothing is drawn or compiled yet."""

    config: DictConfig
    built: Built
    shapes: TrainerState


class Prepared(NamedTuple):
    """A run about to take its first step."""

    plan: Plan
    executable: Executable
    state: TrainerState
    compile_seconds: float


def planned(config: DictConfig, run: RunDirectory) -> Plan:
    """All that may refuse before anything is written.

    Raises:
        UsageError: `config` cannot work, or its state fits neither memory nor the disk of `run`.
    """
    shapes = abstract_state(config)
    needed = state_bytes(shapes)
    _check_memory(config, needed, "parameters and optimizer state take")
    free = shutil.disk_usage(run.path).free
    if needed > free:
        raise UsageError(
            "run_dir",
            run.path,
            f"a checkpoint takes {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free there",
            "choose another file system",
        )
    return Plan(config, build(config), shapes)


def prepared(
    plan: Plan,
    restored: TrainerState | None = None,
    *,
    stage: Callable[[str], None],
    between: Callable[[], None],
) -> Prepared:
    """Compile a step of training, and find where it starts: at `restored`, if that is given.

    Args:
        stage: is told what is being done.
        between: called now and then, and may raise.

    Raises:
        UsageError: a class fails when it is traced, or memory would not do.
    """
    config = plan.config
    if restored is None:
        check_start(config, plan.built.problem)
    stage("compiling")
    with refusing(config):
        executable = Executable(plan.built.problem, plan.shapes, between=between)
    needed = executable.temp_memory_bytes
    if restored is not None:
        _check_memory(config, needed, "a training step takes")
        return Prepared(plan, executable, restored, executable.compile_seconds)
    needed += executable.argument_memory_bytes
    _check_memory(config, needed, "a training step takes")
    with refusing(config):
        initialisation = Initialisation(plan.built.initialise, between=between)
    smaller = "lower start.features" if "features" in config.start else _SMALLER
    mend = f"{smaller}, or start=trivial_solution"
    _check_memory(config, initialisation.memory_bytes, "finding where to start takes", mend)
    stage("finding where to start")
    state = initialisation(between=between)
    between()
    seconds = executable.compile_seconds + initialisation.compile_seconds
    return Prepared(plan, executable, state, seconds)


def out_of_memory(config: DictConfig, why: str) -> UsageError:
    """Of a run that was let begin."""
    return UsageError("dim", config.dim, f"out of memory ({why})", _SMALLER)


def _check_memory(config: DictConfig, needed: int, what: str, mend: str = _SMALLER) -> None:
    available = available_memory_bytes()
    if config.runtime.check_memory and available is not None and needed > available:
        raise UsageError(
            "dim",
            config.dim,
            f"{what} {needed / 1e9:.1f} GB, {available / 1e9:.1f} GB are free",
            f"{mend}, or set runtime.check_memory=false to try all the same",
        )
