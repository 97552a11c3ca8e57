"""The loop: many steps a call, the state donated, the host met only where something is due."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from stde_cli.training.compilation import compiled
from stde_cli.training.state import Problem, TrainerState, is_array
from stde_cli.training.step import training_step

MAX_STEPS_PER_CALL = 1000
_SECONDS_PER_CALL = 0.5
"""How long a call may keep the host waiting: the live view and signals are served in between."""


class Chunk(NamedTuple):
    """What one call did. `state` is valid until the next chunk is asked for."""

    state: TrainerState
    step: int
    """Steps done since the run began."""
    losses: Float[np.ndarray, " steps"]
    """The loss of each step of this call."""
    seconds: float


class Executable:
    """The compiled call (state, count) -> state after `count` more steps, and their losses.

    Compiled from shapes alone, before any parameter exists, so that a run that would not fit can
    be refused at once. `between` is called while that is done, and may raise.

    Attributes:
        compile_seconds: tracing, lowering and compiling.
        temp_memory_bytes: XLA's temporary buffers of a call, its own analysis.
        argument_memory_bytes: state and problem, the same.
    """

    def __init__(
        self,
        problem: Problem,
        abstract_state: TrainerState,
        between: Callable[[], None] | None = None,
    ):
        start = time.perf_counter()
        arrays, self._static = eqx.partition(abstract_state, is_array)
        self._problem, static_problem = eqx.partition(problem, eqx.is_array)

        def run(problem_arrays, state_arrays, count):
            problem = eqx.combine(problem_arrays, static_problem)

            def body(k, carry):
                arrays, losses = carry
                state, loss = training_step(problem, eqx.combine(arrays, self._static))
                return eqx.filter(state, eqx.is_array), losses.at[k].set(loss)

            losses = jnp.zeros(MAX_STEPS_PER_CALL)
            return lax.fori_loop(0, count, body, (state_arrays, losses))

        lowered = jax.jit(run, donate_argnums=1).lower(
            self._problem, arrays, jax.ShapeDtypeStruct((), jnp.int32)
        )
        self._compiled = compiled(lowered.compile, between)
        self.compile_seconds = time.perf_counter() - start
        memory = self._compiled.memory_analysis()
        assert memory is not None, "this backend does not analyse memory"
        self.temp_memory_bytes = int(memory.temp_size_in_bytes)
        self.argument_memory_bytes = int(memory.argument_size_in_bytes)

    def __call__(
        self, state: TrainerState, count: int
    ) -> tuple[TrainerState, Float[Array, " losses"]]:
        """Run `count` steps; the buffers of `state` are given up."""
        arrays = eqx.filter(state, eqx.is_array)
        arrays, losses = self._compiled(self._problem, arrays, jnp.asarray(count, jnp.int32))
        return eqx.combine(arrays, self._static), losses


def advance(
    executable: Executable,
    state: TrainerState,
    *,
    stop: int,
    next_event: Callable[[int], int],
    max_steps_per_call: int = MAX_STEPS_PER_CALL,
) -> Iterator[Chunk]:
    """Take steps until step number `stop`, a chunk at a time.

    A chunk never runs past `next_event(step)`. Its length follows the measured speed; the numbers
    do not depend on how the steps are cut into chunks.
    """
    step, count = int(state.step), 1
    while step < stop:
        count = min(count, next_event(step) - step, stop - step, max_steps_per_call)
        start = time.perf_counter()
        state, losses = executable(state, count)
        losses = np.asarray(losses)[:count]
        seconds = time.perf_counter() - start
        step += count
        yield Chunk(state, step, losses, seconds)
        fitting = int(_SECONDS_PER_CALL * count / max(seconds, 1e-9))
        # At most doubling: the first calls also pay for warming up.
        count = max(1, min(fitting, 2 * count, MAX_STEPS_PER_CALL))
