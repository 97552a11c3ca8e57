"""Polynomials in a few directions of all coordinates: what no sum over a few coordinates holds."""

from collections.abc import Iterable
from functools import cache, reduce

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.polynomial.chebyshev import chebder

from stde_cli.autodiff.directions import AbstractDirections
from stde_cli.problem.operators import Triple
from stde_cli.system.types import Point, RestrictedField, Scalar


class RidgePolynomials(eqx.Module):
    """sum_ab readout[a, b] T_a(s_1) T_b(s_2) for s = weights x + offsets, and so for more of them.

    The T are Chebyshev's polynomials: s is to be between -1 and 1, beyond which they grow without
    bounds. s is all that is of the point's size.
    """

    weights: Float[Array, "directions dim"]
    offsets: Float[Array, " directions"]
    readout: Float[Array, "..."]
    """An axis for each direction."""

    def __call__(self, x: Point) -> Scalar:
        return self._of(self._polynomials(self.inside(x)))

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        origin, slopes = self.inside(x), directions.contract(self.weights)
        return lambda s: self._of(self._polynomials(origin + s @ slopes))

    def value_gradient_laplacian(self, x: Point, over: range) -> Triple:
        value = self._polynomials(self.inside(x))
        slope = _differentiated(value)
        curvature = _differentiated(slope)
        weights = self.weights[:, over.start : over.stop]
        numbers = range(len(weights))

        def derivative(*of: int) -> Scalar:
            orders = [of.count(k) for k in numbers]
            return self._of([(value, slope, curvature)[n][k] for k, n in enumerate(orders)])

        gradient = jnp.stack([derivative(k) for k in numbers])
        hessian = jnp.array([[derivative(*sorted((j, k))) for k in numbers] for j in numbers])
        laplacian = jnp.sum(hessian * (weights @ weights.T))
        return self._of(value), gradient @ weights, laplacian

    def inside(self, x: Point) -> Float[Array, " directions"]:
        """s."""
        return self.weights @ x + self.offsets

    def scaled(self, factors: Float[Array, " directions"]) -> "RidgePolynomials":
        """Of s times these."""
        weights, offsets = factors[:, None] * self.weights, factors * self.offsets
        return RidgePolynomials(weights, offsets, self.readout)

    @property
    def along(self) -> Int[Array, ""]:
        """How many directions there are: the weights of others are zero."""
        return jnp.sum(jnp.any(self.weights != 0, axis=1))

    @property
    def terms(self) -> Bool[Array, "..."]:
        """Which entries of the readout say something: of no direction that is not there.

        Nor of the constant, which whatever has a ridge has without.
        """
        orders = jnp.moveaxis(jnp.indices(self.readout.shape), 0, -1)
        there = jnp.any(self.weights != 0, axis=1)
        return jnp.any(orders > 0, axis=-1) & jnp.all((orders == 0) | there, axis=-1)

    def _of(self, values: Iterable[Float[Array, " terms"]]) -> Scalar:
        return reduce(lambda left, own: jnp.tensordot(own, left, 1), values, self.readout)

    def _polynomials(self, s: Float[Array, " directions"]) -> Float[Array, "directions terms"]:
        """As many of them are found at once as there are already."""
        count = len(self.readout)
        first = s[:, None]
        found = jnp.concatenate([jnp.ones_like(first), first], axis=1)
        while (last := found.shape[1] - 1) + 1 < count:
            back = jnp.arange(last)[::-1]
            more = 2 * found[:, last:] * found[:, 1:] - found[:, back]
            found = jnp.concatenate([found, more], axis=1)
        return found[:, :count]


def _differentiated(
    values: Float[Array, "directions terms"],
) -> Float[Array, "directions terms"]:
    """Of polynomials, or of derivatives of them."""
    return values @ jnp.asarray(_derivatives(values.shape[1]), values.dtype).T


@cache
def _derivatives(count: int) -> Float[np.ndarray, "{count} {count}"]:
    """Row k holds the factors of T_0, T_1, ... in the derivative of T_k."""
    return np.pad(chebder(np.eye(count), axis=0), ((0, 1), (0, 0))).T
