"""Residuals at points as functions of unknowns: their values, and rows of derivatives."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from stde_cli.system.types import Point, Points

_POINTS_AT_ONCE = 64


def values_and_slopes(
    residual: Callable[[Float[Array, " unknowns"], Point], Float[Array, " terms"]],
    at: Float[Array, " unknowns"],
    points: Points,
) -> tuple[Float[Array, "points terms"], Float[Array, "points terms unknowns"]]:
    """residual(at, x) at each point x, and its derivatives in the unknowns.

    A reverse pass a term, some points at a time.
    """

    def row(x: Point) -> tuple[Array, Array]:
        value, pull = jax.vjp(lambda unknowns: residual(unknowns, x), at)
        (slope,) = jax.vmap(pull)(jnp.eye(value.size, dtype=value.dtype))
        return value, slope

    # What takes long to compile is compiled once: for all, and for no smaller last batch.
    beyond = -len(points) % _POINTS_AT_ONCE if len(points) > _POINTS_AT_ONCE else 0
    found = lax.map(row, jnp.concatenate([points, points[:beyond]]), batch_size=_POINTS_AT_ONCE)
    values, slopes = jax.tree.map(lambda each: each[: len(points)], found)
    return values, slopes
