"""Conditions on a part of the domain or its boundary, pressed for by a term of the loss."""

from abc import abstractmethod
from collections.abc import Mapping

import equinox as eqx
from jaxtyping import Array, Float

from stde_cli.problem.operators import AbstractOperator
from stde_cli.system.types import Derivatives, Point, Points, PRNGKey, Scalar


class AbstractCondition(eqx.Module):
    """residual(x, u, derivatives) = 0 at certain points; its mean square enters the loss."""

    weight: eqx.AbstractVar[float]
    operators: eqx.AbstractVar[Mapping[str, AbstractOperator]]

    @abstractmethod
    def sample(self, points: int, *, key: PRNGKey) -> Points:
        """Independent points where the condition holds."""

    @property
    def points(self) -> int | None:
        """How many a step takes; None: as many as of any condition."""
        return None

    @property
    def nonlinear_in(self) -> tuple[str, ...]:
        """Operators in which the residual is not affine: sampled, they would bias it."""
        return ()

    @abstractmethod
    def residual(
        self, x: Point, u: Scalar, derivatives: Derivatives
    ) -> Float[Array, " *components"]:
        """Zero where u satisfies the condition: a number, or a vector whose square is meant."""
