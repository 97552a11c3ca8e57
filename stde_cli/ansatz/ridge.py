"""Polynomials in a few directions of all coordinates: what no sum over a few coordinates holds."""

from collections.abc import Iterable
from functools import cache, reduce
from math import factorial

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.polynomial.chebyshev import poly2cheb
from numpy.polynomial.hermite_e import herme2poly

from stde_cli.autodiff.directions import AbstractDirections
from stde_cli.problem.operators import Triple
from stde_cli.system.types import Point, RestrictedField, Scalar

_SCALE = 5.0
"""In deviations: beyond, few points lie."""


class RidgePolynomials(eqx.Module):
    """sum_ab readout[a, b] h_a(s_1) h_b(s_2) for s = weights x + offsets, and so for more of them.

    The h are Hermite's polynomials, orthonormal where s is normal with mean 0 and deviation 1, as
    projections of many independent coordinates nearly are; in a ball, whose points have a uniform
    radius, s has longer tails. s is all that is of the point's size.
    """

    weights: Float[Array, "directions dim"]
    offsets: Float[Array, " directions"]
    readout: Float[Array, "..."]
    """An axis for each direction."""

    def __call__(self, x: Point) -> Scalar:
        return self._of(self._hermite(self._inside(x)))

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        origin, slopes = self._inside(x), directions.contract(self.weights)
        return lambda s: self._of(self._hermite(origin + s @ slopes))

    def value_gradient_laplacian(self, x: Point, over: range) -> Triple:
        value = self._hermite(self._inside(x))
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

    @property
    def along(self) -> Int[Array, ""]:
        """How many directions there are: the weights of others are zero."""
        return jnp.sum(jnp.any(self.weights != 0, axis=1))

    def up_to_degree(self, degree: int | Int[Array, ""]) -> Bool[Array, "..."]:
        """Which entries of the readout are of terms of at most that degree in all.

        Of directions that are not there only the constant is.
        """
        orders = jnp.moveaxis(jnp.indices(self.readout.shape), 0, -1)
        there = jnp.any(self.weights != 0, axis=1)
        return (jnp.sum(orders, axis=-1) <= degree) & jnp.all((orders == 0) | there, axis=-1)

    def _inside(self, x: Point) -> Float[Array, " directions"]:
        return self.weights @ x + self.offsets

    def _of(self, values: Iterable[Float[Array, " terms"]]) -> Scalar:
        return reduce(lambda left, own: jnp.tensordot(own, left, 1), values, self.readout)

    def _hermite(self, s: Float[Array, " directions"]) -> Float[Array, "directions terms"]:
        """Of Chebyshev's, as many of which are found at once as there are already."""
        count = len(self.readout)
        first = s[:, None] / _SCALE
        found = jnp.concatenate([jnp.ones_like(first), first], axis=1)
        while (last := found.shape[1] - 1) + 1 < count:
            back = jnp.arange(last)[::-1]
            more = 2 * found[:, last:] * found[:, 1:] - found[:, back]
            found = jnp.concatenate([found, more], axis=1)
        return found[:, :count] @ jnp.asarray(_of_chebyshev(count), found.dtype).T


@cache
def _of_chebyshev(count: int) -> Float[np.ndarray, "{count} {count}"]:
    """Row k holds the factors of T_0(s/_SCALE), T_1, ... in h_k(s)."""
    rows = np.zeros((count, count))
    for k in range(count):
        powers = herme2poly([0] * k + [1]) / factorial(k) ** 0.5
        rows[k, : k + 1] = poly2cheb(powers * _SCALE ** np.arange(k + 1))
    return rows


def _differentiated(
    values: Float[Array, "directions terms"],
) -> Float[Array, "directions terms"]:
    """h_k' = sqrt(k) h_(k - 1), of values or of derivatives."""
    factors = jnp.sqrt(jnp.arange(1.0, values.shape[1]))
    return jnp.pad(factors * values[:, :-1], ((0, 0), (1, 0)))
