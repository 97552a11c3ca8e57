from typing import ClassVar

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
from stde_cli.problem.operators.known import KnowsLaplacian
from stde_cli.system.types import Point, PRNGKey, Scalar, ScalarField


class GradientNorm(AbstractOperator):
    """|grad u|^2 over the coordinates of `span`. Not linear: of degree 2 in u.

    Training reads it by one reverse pass, exactly. Jets can sample it too, with the directions
    of a Laplacian: E sum_k w_k (D u(v_k))^2 = |grad u|^2.
    """

    in_one_pass: ClassVar[bool] = True
    span: Span = eqx.field(static=True, default=None)

    def exact(self, field: ScalarField, x: Point) -> Scalar:
        return jnp.sum(gradient_within(field, x, self.span) ** 2)

    def of_known(
        self, known: KnowsLaplacian, x: Point, rest: ScalarField | None = None
    ) -> tuple[Scalar, Scalar]:
        """|grad (r + k)|^2 = |grad r|^2 + 2 grad r . grad k + |grad k|^2."""
        over = extent(self.span, x.size)
        value, gradient, _ = known.value_gradient_laplacian(x, over)
        square = jnp.sum(gradient**2)
        if rest is None:
            return value, square
        along = jnp.zeros_like(x).at[over.start : over.stop].set(gradient)
        return value, square + 2 * jax.jvp(rest, (x,), (along,))[1]

    def draw(
        self, sampler: AbstractSampler, batch: int, dim: int, *, key: PRNGKey
    ) -> AbstractDirections:
        return draw_within(self.span, sampler, batch, dim, key=key)

    def jets(self, x: Point, drawn: AbstractDirections) -> tuple[Jets, ...]:
        return (Jets(one_by_one(drawn), drawn.weights, (1,), degree=2),)
