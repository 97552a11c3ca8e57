"""The residual of an equation, and of each condition beside it, as an estimator reads it.

The one place where an equation meets an estimator. Losses, the choice of points, starts and metrics
take the residual, and need not know how its operators are read.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from stde_cli.estimators import AbstractEstimator, draw_operators, read_operators
from stde_cli.problem.pdes import AbstractCondition, AbstractPDE
from stde_cli.system.types import Derivatives, Point, Points, PRNGKey, Scalar, ScalarField, Values


class SampledResidual(eqx.Module):
    """R(x) = lhs(x, u, operators of u) - source(x), with one draw of directions for all points.

    An unbiased estimate of the residual, and no estimate where the estimator samples nothing.
    """

    pde: AbstractPDE
    estimator: AbstractEstimator

    def draw(self, *, key: PRNGKey) -> PyTree:
        """What is random in R, whatever the field and the point.

        Raises:
            ValueError: the estimator cannot represent one of the operators.
        """
        return draw_operators(self.estimator, self.pde.operators, self.pde.domain.dim, key=key)

    def read(self, field: ScalarField, x: Point, drawn: PyTree) -> tuple[Scalar, Derivatives]:
        """u(x), and the operators that the equation names, by name."""
        return read_operators(self.estimator, field, self.pde.operators, x, drawn)

    def __call__(self, field: ScalarField, x: Point, drawn: PyTree) -> Scalar:
        """R at one point."""
        return self.pde.residual(x, *self.read(field, x, drawn))

    def at(self, field: ScalarField, points: Points, drawn: PyTree) -> Values:
        """R at each point."""
        return jax.vmap(lambda x: self(field, x, drawn))(points)

    def lhs(self, field: ScalarField, points: Points, drawn: PyTree) -> Values:
        """R without its source, for those who read it more than once at the same points."""
        return jax.vmap(lambda x: self.pde.lhs(x, *self.read(field, x, drawn)))(points)

    def source(self, points: Points) -> Values:
        return jax.vmap(self.pde.source)(points)

    @property
    def conditions(self) -> "tuple[SampledCondition, ...]":
        """What is asked beside the equation."""
        return tuple(SampledCondition(c, self.estimator) for c in self.pde.conditions)


class SampledCondition(eqx.Module):
    """The residual of one condition, at points of its own."""

    condition: AbstractCondition
    estimator: AbstractEstimator

    def draw(self, dim: int, *, key: PRNGKey) -> PyTree:
        """As that of the equation's residual."""
        return draw_operators(self.estimator, self.condition.operators, dim, key=key)

    def __call__(self, field: ScalarField, x: Point, drawn: PyTree) -> Float[Array, " *components"]:
        """The residual at one point."""
        asked = self.condition
        return asked.residual(x, *read_operators(self.estimator, field, asked.operators, x, drawn))

    def at(
        self, field: ScalarField, points: Points, *, key: PRNGKey
    ) -> Float[Array, "points *components"]:
        """The residual at each point, with one draw of directions."""
        drawn = self.draw(points.shape[1], key=key)
        return jax.vmap(lambda x: self(field, x, drawn))(points)

    def drawn(self, points: int, *, key: PRNGKey) -> tuple[Points, PyTree]:
        """So many points where the condition holds, or as many as it asks for; and directions."""
        points_key, draw_key = jax.random.split(key)
        fresh = self.condition.sample(self.condition.points or points, key=points_key)
        return fresh, self.draw(fresh.shape[1], key=draw_key)

    def fresh(
        self, field: ScalarField, points: int, *, key: PRNGKey
    ) -> Float[Array, "points *components"]:
        """The residual at points and along directions of its own."""
        x, drawn = self.drawn(points, key=key)
        return jax.vmap(lambda y: self(field, y, drawn))(x)

    def mean_square(self, field: ScalarField, points: int, *, key: PRNGKey) -> Scalar:
        """Over fresh points, of the residual's components together."""
        found = self.fresh(field, points, key=key)
        return jnp.sum(found**2) / len(found)
