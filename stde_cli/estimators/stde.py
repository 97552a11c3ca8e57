from typing import ClassVar

from jaxtyping import PyTree

from stde_cli.autodiff.directions import AbstractSampler
from stde_cli.estimators.base import AbstractEstimator, Operators, draw_each
from stde_cli.estimators.reading import read, with_known_part_exact
from stde_cli.problem.operators import AbstractOperator, partial_sum, read_partials
from stde_cli.system.ranges import Count
from stde_cli.system.types import Derivatives, Point, PRNGKey, Scalar, ScalarField


class STDE(AbstractEstimator):
    """Random jets through the restricted field, `batch` sets of directions for each operator.

    Sums over coordinates are sampled ([STDE] section 4); partial derivatives and their sums are
    exact, by one joint plan.
    """

    sampler: AbstractSampler
    batch: Count
    plans_partials: ClassVar[bool] = True

    def draw(self, operators: Operators, dim: int, *, key: PRNGKey) -> PyTree:
        return draw_each(operators, self.sampler, self.batch, dim, key=key)

    def __call__(
        self, field: ScalarField, operators: Operators, x: Point, drawn: PyTree
    ) -> tuple[Scalar, Derivatives]:
        u, found = None, {}
        partials = {name: partial_sum(operator) for name, operator in operators.items()}
        planned = {name: factors for name, factors in partials.items() if factors is not None}
        if planned:
            u, found = read_partials(field, x, planned)
        for name, operator in operators.items():
            if name not in planned:
                u, found[name] = _sampled(field, operator, x, drawn[name])
        return field(x) if u is None else u, found


def _sampled(
    field: ScalarField, operator: AbstractOperator, x: Point, drawn: PyTree
) -> tuple[Scalar, Scalar]:
    def estimate(field: ScalarField) -> tuple[Scalar, Scalar]:
        readings = [read(field, x, jets) for jets in operator.jets(x, drawn)]
        return readings[0][0], sum((reading for _, reading in readings), start=0 * x[0])

    return with_known_part_exact(field, operator, x, estimate)
