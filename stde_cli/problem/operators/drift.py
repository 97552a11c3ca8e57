from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from stde_cli.autodiff.directions import AbstractSampler, DenseDirections, one_by_one
from stde_cli.problem.operators.base import AbstractOperator, Jets, Span, gradient_within
from stde_cli.system.types import Point, PRNGKey, Scalar, ScalarField


class Drift(AbstractOperator):
    """b(x) . grad u over the coordinates of `span`: one jet along b, nothing sampled."""

    velocity: Callable[[Point], Float[Array, " span"]]
    span: Span = eqx.field(static=True, default=None)

    def exact(self, field: ScalarField, x: Point) -> Scalar:
        return self.velocity(x) @ gradient_within(field, x, self.span)

    def draw(self, sampler: AbstractSampler, batch: int, dim: int, *, key: PRNGKey) -> None:
        return None

    def jets(self, x: Point, drawn: None) -> tuple[Jets, ...]:
        one = jnp.ones(1, x.dtype)
        start = 0 if self.span is None else self.span[0]
        b = self.velocity(x)
        vector = jnp.pad(b, (start, x.size - start - b.size))
        return (Jets(one_by_one(DenseDirections(vector[None], one)), one, (1,)),)
