"""Whether what u is made of has the period of the coordinates that are to have one."""

import jax
import jax.numpy as jnp
from jax.core import Tracer

from stde_cli.expressions import Layout
from stde_cli.problem.domains import AbstractDomain
from stde_cli.system.errors import UsageError
from stde_cli.system.types import Point, Points, Scalar, ScalarField, Values

_POINTS, _OF_A_FAMILY = 16, 3
_ALIKE = 1e-4, 1e-3
"""How near values and slopes are at both ends, against the largest: single precision has less."""


def check_periodic(
    where: str, field: ScalarField, layout: Layout, domain: AbstractDomain, *, slopes: bool = False
) -> None:
    """Refuse a field that jumps from the end of a period to its beginning.

    Args:
        slopes: refuse a kink there, too. Where the field is a part of u, at all times, a network
            that is smooth there cannot take it away, and the equation does not see it at points.

    Raises:
        UsageError: at the key `where`.
    """
    if not domain.circles:
        return
    x = domain.sample_interior(_POINTS, key=jax.random.key(0))
    within = jax.vmap(field)(x)
    if isinstance(within, Tracer):
        # Only shapes are known, while memory is planned; the numbers come after that.
        return
    for circles in domain.circles:
        ends, inside = (circles.low, circles.low + circles.length), range(*circles[:2])
        for position in sorted({*inside[:_OF_A_FAMILY], inside[-1]}):
            (low, rising), (high, falling) = (_at(field, x, position, end) for end in ends)
            size = _largest(low, high, within)
            slope = max(_largest(rising, falling), size / circles.length)
            between = f"from {layout.label(position)} = {ends[1]:g} to {ends[0]:g}"
            if (jump := _largest(high - low)) > _ALIKE[0] * size:
                why = f"it jumps by up to {jump:.3g} {between}, which are one point"
                raise UsageError(where, None, why, "give a text of that period")
            if slopes and (jump := _largest(falling - rising)) > _ALIKE[1] * slope:
                why = f"its slope jumps by up to {jump:.3g} {between}, and u's would at all times"
                mend = "give a lift that is smooth at other times, or write hold: soft"
                raise UsageError(where, None, why, mend)


def _at(field: ScalarField, x: Points, position: int, end: float) -> tuple[Values, Values]:
    """Values and slopes in one coordinate where that has a given value."""

    def of(x: Point) -> tuple[Scalar, Scalar]:
        value = jnp.asarray(end, x.dtype)
        return jax.jvp(lambda v: field(x.at[position].set(v)), (value,), (jnp.ones_like(value),))

    return jax.vmap(of)(x)


def _largest(*arrays: jax.Array) -> float:
    return max(float(jnp.max(jnp.abs(array))) for array in arrays)
