"""What is seen of a point with periodic coordinates: sines and cosines in their place.

A function of these is periodic, and so are all of its derivatives.
"""

from collections.abc import Callable
from math import pi
from typing import NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from stde_cli.autodiff.directions import AbstractDirections, CoordinateDirections
from stde_cli.autodiff.restriction import restrict
from stde_cli.problem.domains import AbstractDomain, Circles
from stde_cli.system.types import Point, RestrictedField, Scalar, ScalarField

Inputs: TypeAlias = Float[Array, " inputs"]


class Moved(NamedTuple):
    """y(x + V s) = y(x) + W w(s): how the inputs y move with the point.

    Attributes:
        directions: W, two for each of V.
        along: w.
    """

    directions: AbstractDirections
    along: Callable[[Float[Array, " directions"]], Float[Array, " moved"]]


class Embedding(eqx.Module):
    """The inputs y(x): x with sin(a) and cos(a) in place of each periodic x_i.

    a = 2 pi (x_i - low)/length. The two of one coordinate are neighbours, and so are those of
    neighbouring coordinates.
    """

    dim: int = eqx.field(static=True)
    circles: tuple[Circles, ...] = eqx.field(static=True)

    def __init__(self, domain: AbstractDomain):
        self.dim, self.circles = domain.dim, domain.circles

    @property
    def inputs(self) -> int:
        return len(self.seen(range(self.dim)))

    def __call__(self, x: Point) -> Inputs:
        return self._assembled(x, lambda angles, _: _pairs(jnp.sin, jnp.cos)(angles), x)

    def spread(self, of_coordinates: float | Float[Array, " dim"]) -> Inputs:
        """The standard deviation of each input, given that of each coordinate."""
        plain = jnp.broadcast_to(jnp.asarray(of_coordinates, float), (self.dim,))
        return self._assembled(plain, lambda angles, _: jnp.full(2 * angles.size, 0.5**0.5), plain)

    def derivatives(self, x: Point) -> tuple[Inputs, Inputs]:
        """The first and the second of each input, in the one coordinate that it is of."""

        def first(angles: Array, frequency: float) -> Array:
            return frequency * _pairs(jnp.cos, lambda a: -jnp.sin(a))(angles)

        def second(angles: Array, frequency: float) -> Array:
            return -(frequency**2) * _pairs(jnp.sin, jnp.cos)(angles)

        plain = jnp.ones_like(x)
        return self._assembled(x, first, plain), self._assembled(x, second, 0 * plain)

    def seen(self, positions: range) -> range:
        """The inputs that are of neighbouring coordinates."""
        return range(
            *(self._first_input(position) for position in (positions.start, positions.stop))
        )

    def gathered(self, of_inputs: Float[Array, "inputs ..."]) -> Float[Array, "dim ..."]:
        """Sums over the inputs of each coordinate."""
        owners = jnp.asarray(self.owners)
        return jax.ops.segment_sum(of_inputs, owners, self.dim, indices_are_sorted=True)

    @property
    def owners(self) -> Int[np.ndarray, " inputs"]:
        """The coordinate that each input is of."""
        times = np.ones(self.dim, int)
        for circles in self.circles:
            times[circles.start : circles.stop] = 2
        return np.repeat(np.arange(self.dim), times)

    def moved(self, x: Point, directions: CoordinateDirections) -> Moved:
        """All O(dim) work was done in y(x): this costs what the directions cost."""
        indices, lengths = directions.indices, directions.lengths
        periodic, frequency = self._periodic(indices), jnp.zeros_like(lengths)
        angles = jnp.zeros_like(lengths)
        for circles in self.circles:
            inside = (circles.start <= indices) & (indices < circles.stop)
            own = 2 * pi / circles.length
            frequency = jnp.where(inside, own, frequency)
            angles = jnp.where(inside, own * (x[indices] - circles.low), angles)
        sine, cosine = jnp.sin(angles), jnp.cos(angles)
        same = (indices[:, None] == indices[None, :]).astype(lengths.dtype)
        share = 1 / jnp.sum(same, axis=1)

        def along(s: Float[Array, " directions"]) -> Float[Array, " moved"]:
            shift = lengths * s
            turned = frequency * (shift if directions.distinct else same @ shift)
            # By the addition theorem, so that nothing cancels: sin(a + b) - sin(a), and the cosine.
            versed, turn = jnp.cos(turned) - 1, jnp.sin(turned)
            of_sine, of_cosine = sine * versed + cosine * turn, cosine * versed - sine * turn
            if not directions.distinct:
                # Of directions along the same coordinate each brings its share.
                of_sine, of_cosine = share * of_sine, share * of_cosine
            first = jnp.where(periodic, of_sine, shift)
            return jnp.concatenate([first, jnp.where(periodic, of_cosine, 0 * shift)])

        first = indices + self._before(indices)
        places = jnp.concatenate([first, first + periodic])
        ones, weights = jnp.ones_like(lengths), directions.weights
        doubled = CoordinateDirections(
            places, jnp.tile(ones, 2), jnp.tile(weights, 2), distinct=False
        )
        return Moved(doubled, along)

    def _assembled(
        self,
        x: Point,
        on_circles: Callable[[Array, float], Array],
        elsewhere: Float[Array, " dim"],
    ) -> Inputs:
        pieces, end = [], 0
        for circles in self.circles:
            frequency = 2 * pi / circles.length
            angles = frequency * (x[circles.start : circles.stop] - circles.low)
            pieces += [elsewhere[end : circles.start], on_circles(angles, frequency)]
            end = circles.stop
        return jnp.concatenate([*pieces, elsewhere[end:]])

    def _periodic(self, indices: Int[Array, " n"]) -> Bool[Array, " n"]:
        inside = [(c.start <= indices) & (indices < c.stop) for c in self.circles]
        return jnp.any(jnp.stack(inside), axis=0)

    def _before(self, indices: Int[Array, " n"]) -> Int[Array, " n"]:
        """How many periodic coordinates come before each position."""
        counts = [jnp.clip(indices - c.start, 0, c.stop - c.start) for c in self.circles]
        return jnp.sum(jnp.stack(counts), axis=0)

    def _first_input(self, position: int) -> int:
        counts = (min(max(position - c.start, 0), c.stop - c.start) for c in self.circles)
        return position + sum(counts)


class Embedded(eqx.Module):
    """network(y(x)).

    Along coordinate directions nothing but y(x) is of the size of the point. Along dense ones all
    inputs move, and the network is given the whole of them.
    """

    network: ScalarField
    embedding: Embedding

    def __call__(self, x: Point) -> Scalar:
        return self.network(self.embedding(x))

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        if not isinstance(directions, CoordinateDirections):
            return lambda s: self(directions.displace(x, s))
        moved = self.embedding.moved(x, directions)
        g = restrict(self.network, self.embedding(x), moved.directions)
        return lambda s: g(moved.along(s))


def _pairs(
    first: Callable[[Array], Array], second: Callable[[Array], Array]
) -> Callable[[Float[Array, " n"]], Float[Array, " doubled"]]:
    """Of each angle the one and the other, side by side."""
    return lambda angles: jnp.stack([first(angles), second(angles)], axis=1).reshape(-1)
