from abc import abstractmethod
from collections.abc import Mapping

import equinox as eqx

from stde_cli._types import Derivatives, Point, PRNGKey, Scalar, ScalarField
from stde_cli.directions import AbstractDirections
from stde_cli.operators import AbstractOperator, Laplacian

Operators = Mapping[str, AbstractOperator]


class AbstractEstimator(eqx.Module):
    """Estimates differential operators at a point from directions that are drawn once a step."""

    @abstractmethod
    def draw(self, dim: int, *, key: PRNGKey) -> AbstractDirections:
        """The directions of one step."""

    @abstractmethod
    def __call__(
        self, field: ScalarField, operators: Operators, x: Point, directions: AbstractDirections
    ) -> tuple[Scalar, Derivatives]:
        """u(x), and an estimate of each operator at x by name.

        Raises:
            ValueError: this estimator cannot represent one of the operators.
        """


def only_laplacians(operators: Operators, trace: Scalar) -> Derivatives:
    """`trace` under the name of each operator, where each is a Laplacian.

    Raises:
        ValueError: some operator is no Laplacian.
    """
    for name, operator in operators.items():
        if not isinstance(operator, Laplacian):
            raise ValueError(f"no estimate of {name}: {type(operator).__name__} is no Laplacian")
    return dict.fromkeys(operators, trace)
