from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
from jaxtyping import PyTree

from stde_cli.autodiff.directions import AbstractSampler
from stde_cli.problem.operators import AbstractOperator, draw_together
from stde_cli.system.types import Derivatives, Point, PRNGKey, Scalar, ScalarField

Operators = Mapping[str, AbstractOperator]


def draw_each(
    operators: Operators, sampler: AbstractSampler, batch: int, dim: int, *, key: PRNGKey
) -> dict[str, PyTree]:
    """What each operator draws; those with directions of one kind share them.

    Raises:
        ValueError: directions from `sampler` cannot represent one of the operators.
    """
    drawn = draw_together(list(operators.values()), sampler, batch, dim, key=key)
    return dict(zip(operators, drawn, strict=True))


class AbstractEstimator(eqx.Module):
    """Estimates differential operators at a point from what is drawn once a step."""

    plans_partials: ClassVar[bool] = False
    """Whether partial derivatives come from one joint plan, so that a few more cost little."""

    trains_itself: ClassVar[bool] = False
    """Whether it is a training step of its own, whose speed `stde bench` alone can measure."""

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
