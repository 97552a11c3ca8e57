import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

from stde_cli.training.compilation import compiled
from stde_cli.training.state import TrainerState

_PATIENCE = 0.01
"""Seconds between two looks at whether the state is there."""


class Initialisation:
    """The compiled search for the state before the first step.

    Attributes:
        compile_seconds: tracing, lowering and compiling.
        memory_bytes: XLA's temporary buffers and the state itself, its own analysis.
    """

    def __init__(
        self, initialise: Callable[[], TrainerState], between: Callable[[], None] | None = None
    ):
        start = time.perf_counter()
        # Equinox declares a plain function here, which has no `lower`.
        jitted: Any = eqx.filter_jit(initialise)
        self._compiled = compiled(jitted.lower().compile, between)
        self.compile_seconds = time.perf_counter() - start
        memory = self._compiled.compiled.memory_analysis()
        assert memory is not None, "this backend does not analyse memory"
        self.memory_bytes = int(memory.temp_size_in_bytes + memory.output_size_in_bytes)

    def __call__(self, between: Callable[[], None] = lambda: None) -> TrainerState:
        """The state. `between` is called while it is being computed, and may raise."""
        state = self._compiled()
        arrays = jax.tree.leaves(eqx.filter(state, eqx.is_array))
        while not all(array.is_ready() for array in arrays):
            between()
            time.sleep(_PATIENCE)
        return jax.block_until_ready(state)
