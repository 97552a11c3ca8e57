"""What the measurements share: refusing what does not fit, and work against the clock."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
from jax import monitoring
from omegaconf import DictConfig

from stde_cli.config.build import Built, abstract_state
from stde_cli.jobs.benchmarks.child import Unmeasured
from stde_cli.jobs.benchmarks.status import OOM
from stde_cli.system.resources import available_memory_bytes
from stde_cli.training import (
    MAX_STEPS_PER_CALL,
    Executable,
    Initialisation,
    Problem,
    TrainerState,
)
from stde_cli.training.state import state_bytes

Made = TypeVar("Made")


def fitting_shapes(config: DictConfig) -> TrainerState:
    """The shapes of the state.

    Raises:
        Unmeasured: it does not fit the memory that is free.
    """
    abstract = abstract_state(config)
    _check_memory(config, state_bytes(abstract))
    return abstract


def fitting_executable(config: DictConfig, problem: Problem, abstract: TrainerState) -> Executable:
    """The compiled training step.

    Raises:
        Unmeasured: it does not fit the memory that is free.
    """
    executable = Executable(problem, abstract)
    _check_memory(config, executable.argument_memory_bytes + executable.temp_memory_bytes)
    return executable


def fitting_initialisation(config: DictConfig, built: Built) -> Initialisation:
    """The compiled search for the first state.

    Raises:
        Unmeasured: it does not fit the memory that is free.
    """
    initialisation = Initialisation(built.initialise)
    _check_memory(config, initialisation.memory_bytes)
    return initialisation


def _check_memory(config: DictConfig, needed: int) -> None:
    available = available_memory_bytes()
    if config.runtime.check_memory and available is not None and needed > available:
        why = f"needs {needed / 1e9:.1f} GB, {available / 1e9:.1f} GB are free"
        raise Unmeasured(why, OOM)


def take_steps(
    executable: Executable, state: TrainerState, steps: int, per_call: int | None
) -> tuple[TrainerState, float]:
    """The state `steps` steps on, and the seconds they took.

    Calls are queued: the host waits for the last alone.
    """
    length = min(per_call or steps, MAX_STEPS_PER_CALL)
    start = time.perf_counter()
    for done in range(0, steps, length):
        state, _ = executable(state, min(length, steps - done))
    _wait_for(state)
    return state, time.perf_counter() - start


class Timing(NamedTuple):
    """Seconds of work, and of compiling what did it."""

    seconds: float
    compile_seconds: float


def timed(make: Callable[[], Made]) -> tuple[Made, Timing]:
    """What `make` makes and how long that took, compiling apart."""
    with _compiling() as compile_seconds:
        start = time.perf_counter()
        made = make()
        _wait_for(made)
        seconds = time.perf_counter() - start
    compiling = compile_seconds()
    return made, Timing(max(0.0, seconds - compiling), compiling)


def _wait_for(made: object) -> None:
    jax.block_until_ready(eqx.filter(made, eqx.is_array))


@contextmanager
def _compiling() -> Iterator[Callable[[], float]]:
    """The seconds that JAX traces, lowers and compiles within the context."""
    spans: list[tuple[float, float]] = []

    def note(event: str, start_time: float, end_time: float, **_: object) -> None:
        if event.startswith("/jax/core/compile/"):
            # A function's trace holds those of the functions it calls: they have been noted before.
            while spans and spans[-1][0] >= start_time:
                spans.pop()
            spans.append((start_time, end_time))

    monitoring.register_event_time_span_listener(note)
    try:
        yield lambda: sum(end - start for start, end in spans)
    finally:
        monitoring.unregister_event_time_span_listener(note)
