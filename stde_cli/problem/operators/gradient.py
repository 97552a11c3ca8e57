from typing import ClassVar

import equinox as eqx
from jaxtyping import Array, Float

from stde_cli.autodiff.directions import AbstractSampler
from stde_cli.problem.operators.base import AbstractOperator, Jets, Span, gradient_within
from stde_cli.system.types import Point, PRNGKey, ScalarField


class Gradient(AbstractOperator):
    """grad u over the coordinates of `span`: a vector, by one reverse pass."""

    in_one_pass: ClassVar[bool] = True
    span: Span = eqx.field(static=True, default=None)

    def exact(self, field: ScalarField, x: Point) -> Float[Array, " span"]:
        return gradient_within(field, x, self.span)

    def draw(self, sampler: AbstractSampler, batch: int, dim: int, *, key: PRNGKey) -> None:
        return None

    def jets(self, x: Point, drawn: None) -> tuple[Jets, ...]:
        raise ValueError("jets give numbers, and the gradient is a vector")
