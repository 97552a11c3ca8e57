from typing import ClassVar, TypeAlias

import equinox as eqx
from jaxtyping import Array, Float

from stde_cli.autodiff.directions import AbstractSampler
from stde_cli.problem.operators.base import AbstractOperator, Jets, Span, gradient_within
from stde_cli.system.types import Point, PRNGKey, Scalar, ScalarField

Form: TypeAlias = Float[Array, " span"] | Float[Array, "span span"]
"""A diagonal or a matrix."""


class GradientForm(AbstractOperator):
    """grad u . A grad u over the coordinates of `span`, for a constant A. Of degree 2 in u.

    It stands beside tr(A Hess u) where u is the logarithm of a density, and where control acts
    through noise of covariance A. One reverse pass and a product with A: O(dim) for a diagonal,
    O(dim^2) for a matrix. Of a matrix only the symmetric part matters.
    """

    in_one_pass: ClassVar[bool] = True
    form: Form
    span: Span = eqx.field(static=True, default=None)

    def exact(self, field: ScalarField, x: Point) -> Scalar:
        return self.of_gradient(gradient_within(field, x, self.span))

    def of_gradient(self, gradient: Float[Array, " span"]) -> Scalar:
        """g . A g."""
        return gradient @ (self.form @ gradient if self.form.ndim == 2 else self.form * gradient)

    def draw(self, sampler: AbstractSampler, batch: int, dim: int, *, key: PRNGKey) -> None:
        return None

    def jets(self, x: Point, drawn: None) -> tuple[Jets, ...]:
        raise ValueError("jets give powers of one derivative, and this is a product of two")
