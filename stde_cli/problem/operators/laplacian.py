import equinox as eqx
import jax.numpy as jnp

from stde_cli.autodiff.directions import AbstractDirections, AbstractSampler, one_by_one
from stde_cli.problem.operators.base import (
    AbstractOperator,
    Jets,
    Span,
    draw_within,
    extent,
    hessian_within,
)
from stde_cli.problem.operators.known import KnowsLaplacian
from stde_cli.system.types import Point, PRNGKey, Scalar, ScalarField


class Laplacian(AbstractOperator):
    """sum_i d^2 u / dx_i^2 over the coordinates of `span`."""

    span: Span = eqx.field(static=True, default=None)

    def exact(self, field: ScalarField, x: Point) -> Scalar:
        return jnp.trace(hessian_within(field, x, self.span))

    def of_known(
        self, known: KnowsLaplacian, x: Point, rest: ScalarField | None = None
    ) -> tuple[Scalar, Scalar]:
        value, _, laplacian = known.value_gradient_laplacian(x, extent(self.span, x.size))
        return value, laplacian

    def draw(
        self, sampler: AbstractSampler, batch: int, dim: int, *, key: PRNGKey
    ) -> AbstractDirections:
        return draw_within(self.span, sampler, batch, dim, key=key)

    def jets(self, x: Point, drawn: AbstractDirections) -> tuple[Jets, ...]:
        return (Jets(one_by_one(drawn), drawn.weights, (2,)),)
