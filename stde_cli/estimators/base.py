from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
from jaxtyping import PyTree

from stde_cli._types import Derivatives, Point, PRNGKey, Scalar, ScalarField
from stde_cli.operators import AbstractOperator

Operators = Mapping[str, AbstractOperator]


class AbstractEstimator(eqx.Module):
    """Estimates differential operators at a point from what is drawn once a step."""

    plans_partials: ClassVar[bool] = False
    """Whether partial derivatives come from one joint plan, so that a few more cost little."""

    @abstractmethod
    def draw(self, operators: Operators, dim: int, *, key: PRNGKey) -> PyTree:
        """What is random in one step, whatever the point.

        Raises:
            ValueError: this estimator cannot represent one of the operators.
        """

    @abstractmethod
    def __call__(
        self, field: ScalarField, operators: Operators, x: Point, drawn: PyTree
    ) -> tuple[Scalar, Derivatives]:
        """u(x), and an estimate of each operator at x by name."""
