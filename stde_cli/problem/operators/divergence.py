import equinox as eqx
import jax
import jax.numpy as jnp

from stde_cli.autodiff.directions import AbstractDirections, AbstractSampler, one_by_one
from stde_cli.problem.operators.base import (
    AbstractOperator,
    Jets,
    Span,
    draw_within,
    extent,
    gradient_within,
)
from stde_cli.system.types import Point, PRNGKey, Scalar, ScalarField


class Divergence(AbstractOperator):
    """div(k(x) grad u) = k Laplacian(u) + grad k . grad u over the coordinates of `span`."""

    conductivity: ScalarField
    span: Span = eqx.field(static=True, default=None)

    def exact(self, field: ScalarField, x: Point) -> Scalar:
        over = extent(self.span, x.size)

        def flux(x: Point) -> jax.Array:
            return self.conductivity(x) * gradient_within(field, x, self.span)

        return jnp.trace(jax.jacfwd(flux)(x)[:, over.start : over.stop])

    def draw(
        self, sampler: AbstractSampler, batch: int, dim: int, *, key: PRNGKey
    ) -> AbstractDirections:
        return draw_within(self.span, sampler, batch, dim, key=key)

    def jets(self, x: Point, drawn: AbstractDirections) -> tuple[Jets, ...]:
        k, gradient = jax.value_and_grad(self.conductivity)(x)
        directions = one_by_one(drawn)
        slopes = drawn.weights * drawn.dot(gradient)
        return (
            Jets(directions, drawn.weights, (2,), factor=k),
            Jets(directions, slopes, (1,), signed=True),
        )
