from jaxtyping import PyTree

from stde_cli.autodiff.directions import AbstractSampler
from stde_cli.problem.operators.base import AbstractOperator, Jets, draw_together
from stde_cli.system.types import Point, PRNGKey, Scalar, ScalarField


class Combination(AbstractOperator):
    """sum_m factor_m operator_m, with numbers as factors."""

    factors: tuple[float | Scalar, ...]
    operators: tuple[AbstractOperator, ...]

    def __check_init__(self):
        if not self.operators or len(self.factors) != len(self.operators):
            raise ValueError("a combination takes one factor for each of its operators")

    def exact(self, field: ScalarField, x: Point) -> Scalar:
        terms = zip(self.factors, self.operators, strict=True)
        return sum((c * operator.exact(field, x) for c, operator in terms), start=0 * x[0])

    def draw(self, sampler: AbstractSampler, batch: int, dim: int, *, key: PRNGKey) -> PyTree:
        return tuple(draw_together(self.operators, sampler, batch, dim, key=key))

    def jets(self, x: Point, drawn: PyTree) -> tuple[Jets, ...]:
        return tuple(
            jets._replace(factor=c * jets.factor)
            for c, operator, part in zip(self.factors, self.operators, drawn, strict=True)
            for jets in operator.jets(x, part)
        )
