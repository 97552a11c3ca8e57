import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from stde_cli.problem.domains.base import ROUNDING, AbstractDomain
from stde_cli.system.types import Point, Points, PRNGKey


class Box(AbstractDomain):
    """A product of intervals [lower_i, upper_i], with uniform points."""

    dim: int = eqx.field(static=True)
    lower: tuple[float, ...] = eqx.field(static=True)
    upper: tuple[float, ...] = eqx.field(static=True)
    """Of the ranges that were given, however many copies of them there are."""

    def __init__(self, *ranges: tuple[float, float], copies: int = 1):
        """The ranges of the coordinates in order, all of them `copies` times."""
        for low, high in ranges:
            if not low < high:
                raise ValueError(f"the range [{low}, {high}] is empty; write the lower end first")
        self.dim = len(ranges) * copies
        self.lower = tuple(float(low) for low, _ in ranges)
        self.upper = tuple(float(high) for _, high in ranges)

    @property
    def spread(self) -> Float[Array, " dim"]:
        lower, upper = self.extent
        return (upper - lower) / math.sqrt(12)

    @property
    def extent(self) -> Float[Array, "2 dim"]:
        # Copied on the device: a million numbers of Python's take JAX twenty seconds a trace.
        ends = jnp.array([self.lower, self.upper])
        return jnp.tile(ends, self.dim // len(self.lower))

    def sample_interior(self, points: int, *, key: PRNGKey) -> Points:
        lower, upper = self.extent
        return lower + (upper - lower) * jax.random.uniform(key, (points, self.dim))

    def sample_boundary(self, points: int, *, key: PRNGKey) -> Points:
        """Points on one of the 2 dim faces, each face as likely as the others."""
        interior_key, face_key, side_key = jax.random.split(key, 3)
        x = self.sample_interior(points, key=interior_key)
        face = jax.random.randint(face_key, (points,), 0, self.dim)
        ends = self.extent[jax.random.randint(side_key, (points,), 0, 2), face]
        return x.at[jnp.arange(points), face].set(ends)

    def contains(self, x: Point) -> Bool[Array, ""]:
        lower, upper = self.extent
        slack = ROUNDING * (upper - lower)
        return jnp.all((lower - slack <= x) & (x <= upper + slack))
