"""Whether a given function has a gradient."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool

from stde_cli.system.types import Point, Points, Scalar, ScalarField

_STEP = 1e-2
"""Of differences, in single precision."""
_ROUNDING = 1e-5
"""What a second difference may be by rounding alone, against the values it is made of."""


def has_gradient(field: ScalarField, points: Points) -> bool:
    """Whether at all points it is finite, and alike on both sides along a random direction.

    A second difference over h is proportional to h where the gradient jumps, and to h^2 elsewhere.
    Where only shapes are known there is taken to be one.
    """
    v = jnp.asarray(np.random.default_rng(0).standard_normal(points.shape[1]), points.dtype)

    def at(x: Point) -> Bool[Array, ""]:
        def around(h: float) -> tuple[Scalar, Scalar]:
            values = jnp.stack([field(x + h * v), field(x), field(x - h * v)])
            return jnp.abs(values @ jnp.array([1.0, -2.0, 1.0])), jnp.max(jnp.abs(values))

        (wide, size), (narrow, _) = around(_STEP), around(_STEP / 2)
        jumps = (wide > _ROUNDING * size) & (narrow > 0.4 * wide)
        return jnp.isfinite(jax.grad(field)(x)).all() & ~jumps

    found = eqx.filter_jit(lambda points: jnp.all(jax.vmap(at)(points)))(points)
    return isinstance(found, Tracer) or bool(found)
