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


def draw_operators(
    estimator: AbstractEstimator, operators: Operators, dim: int, *, key: PRNGKey
) -> PyTree:
    """What is random in one reading of the operators, whatever the field and the point.

    Raises:
        ValueError: the estimator cannot represent one of them.
    """
    return estimator.draw(_sampled(operators), dim, key=key)


def read_operators(
    estimator: AbstractEstimator, field: ScalarField, operators: Operators, x: Point, drawn: PyTree
) -> tuple[Scalar, Derivatives]:
    """u(x), and each operator at x by name.

    What one reverse pass gives exactly is not the estimator's business, whichever it is.
    """
    u, found = estimator(field, _sampled(operators), x, drawn)
    exactly = {name: o.exact(field, x) for name, o in operators.items() if o.in_one_pass}
    return u, {**found, **exactly}


def _sampled(operators: Operators) -> Operators:
    return {name: o for name, o in operators.items() if not o.in_one_pass}
