"""Means of independent draws, until they are known well enough."""

import math
import time
from collections.abc import Callable

import jax
from jaxtyping import Array, Float

from stde_cli.system.types import PRNGKey


def mean(
    draw: Callable[[PRNGKey], Float[Array, " draws"]],
    *,
    error: float,
    seconds: float,
    between: Callable[[], None],
    key: PRNGKey,
    least: int = 2,
) -> tuple[float, float]:
    """The mean of draws and its standard error, once that is below `error` or time is up.

    Args:
        draw: a batch of independent draws from a key.
        error: relative to the mean where that is above 1, else absolute.
        between: called after each batch; what it raises ends the computation.
        least: batches that are drawn in any case.
    """
    started, batches = time.perf_counter(), 0
    count, total, squares, shift = 0, 0.0, 0.0, 0.0
    while True:
        drawn = jax.device_get(draw(jax.random.fold_in(key, batches))).astype(float)
        between()
        # Sums of squares of nearly equal numbers lose digits.
        shift = shift if batches else float(drawn[0])
        batches, count = batches + 1, count + drawn.size
        total, squares = total + (drawn - shift).sum(), squares + ((drawn - shift) ** 2).sum()
        average, spread = total / count, math.inf
        if count > 1:
            spread = math.sqrt(max(squares / count - average**2, 0.0) / (count - 1))
        # Of what is not a number more draws tell nothing either.
        done = not spread > error * max(1.0, abs(shift + average))
        if batches >= least and (done or time.perf_counter() - started > seconds):
            return float(shift + average), spread
