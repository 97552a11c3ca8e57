import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from stde_cli.autodiff.directions import AbstractSampler, Dense, one_by_one
from stde_cli.problem.operators.base import (
    AbstractOperator,
    Jets,
    Span,
    derivative_along,
    draw_within,
    extent,
)
from stde_cli.problem.operators.sets import independent_sets
from stde_cli.system.types import Point, PRNGKey, Scalar, ScalarField


class Polyharmonic(AbstractOperator):
    """Laplacian applied `times` times: 2 is the biharmonic operator.

    From p independent draws of isotropic directions, E D^2p u(v, v, w, w, ...) = Laplacian^p u. One
    Gaussian direction alone will do: E D^2p u(v, ..., v) = (2p - 1)!! Laplacian^p u, one for each
    pairing of the 2p factors (Isserlis 1918). [STDE] equation 88 has a factor d that does not
    belong there.
    """

    times: int = eqx.field(static=True, default=2)
    span: Span = eqx.field(static=True, default=None)

    def exact(self, field: ScalarField, x: Point) -> Scalar:
        over = extent(self.span, x.size)
        units = jnp.eye(x.size, dtype=x.dtype)[over.start : over.stop]
        for _ in range(self.times):
            field = _laplacian(field, units)
        return field(x)

    def draw(self, sampler: AbstractSampler, batch: int, dim: int, *, key: PRNGKey) -> PyTree:
        if isinstance(sampler, Dense) and sampler.distribution == "gaussian":
            drawn = draw_within(self.span, sampler, batch, dim, key=key)
            pairings = math.prod(range(1, 2 * self.times, 2))
            return one_by_one(drawn), drawn.weights / pairings
        return independent_sets(self.span, sampler, batch, dim, times=self.times, key=key)

    def jets(self, x: Point, drawn: PyTree) -> tuple[Jets, ...]:
        directions, weights = drawn
        each = directions.weights.shape[1]
        return (Jets(directions, weights, (2 * self.times // each,) * each),)


def _laplacian(field: ScalarField, units: jax.Array) -> ScalarField:
    def at(x: Point) -> Scalar:
        return jnp.sum(jax.vmap(lambda e: derivative_along(field, jnp.stack([e, e]))(x))(units))

    return at
