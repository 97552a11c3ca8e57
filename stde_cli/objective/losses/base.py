from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.system.types import Point, Points, PRNGKey, Scalar, ScalarField


class Squares(NamedTuple):
    """A sum of squares: sum over `points` and what `terms` finds there of its square.

    Attributes:
        terms: of the field at one point; what is drawn is drawn, and the same at all points.
    """

    points: Points
    terms: Callable[[ScalarField, Point], PyTree[Array]]

    def sum(self, field: ScalarField) -> Scalar:
        found = jax.vmap(lambda x: self.terms(field, x))(self.points)
        # The squares of many coordinates are never written out.
        return sum((jnp.sum(part**2) for part in jax.tree.leaves(found)), jnp.zeros(()))


class AbstractLoss(eqx.Module):
    """A scalar that is least, in expectation, where the field solves the PDE."""

    @abstractmethod
    def __call__(
        self, residual: SampledResidual, field: ScalarField, points: Points, *, key: PRNGKey
    ) -> Scalar: ...


class AbstractSumOfSquares(AbstractLoss):
    """A loss that says what it is a sum of squares of, for what minimises such sums."""

    @abstractmethod
    def squares(self, residual: SampledResidual, points: Points, *, key: PRNGKey) -> Squares:
        """Of terms at these points."""

    def __call__(
        self, residual: SampledResidual, field: ScalarField, points: Points, *, key: PRNGKey
    ) -> Scalar:
        return self.squares(residual, points, key=key).sum(field)
