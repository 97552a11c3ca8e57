import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stde_cli.estimators import AbstractEstimator
from stde_cli.problem.pdes import AbstractCondition, AbstractPDE
from stde_cli.system.types import Points, PRNGKey, Scalar, ScalarField, Values


def condition_loss(
    pde: AbstractPDE,
    estimator: AbstractEstimator,
    field: ScalarField,
    points: int,
    factors: Float[Array, " conditions"] | None = None,
    *,
    key: PRNGKey,
) -> Scalar:
    """sum over the PDE's conditions of weight * mean residual^2, on `points` fresh points each.

    With `factors`, each condition's weight is multiplied by its own.
    """
    total = jnp.zeros(())
    for number, condition in enumerate(pde.conditions):
        square = condition_square(pde, number, estimator, field, points, key=key)
        weight = condition.weight if factors is None else condition.weight * factors[number]
        total = total + weight * square
    return total


def condition_square(
    pde: AbstractPDE,
    number: int,
    estimator: AbstractEstimator,
    field: ScalarField,
    points: int,
    *,
    key: PRNGKey,
) -> Scalar:
    """mean residual^2 of one condition, at the points at which the sum over all has it."""
    condition = pde.conditions[number]
    points_key, draw_key = jax.random.split(jax.random.split(key, len(pde.conditions))[number])
    x = condition.sample(points, key=points_key)
    return jnp.mean(condition_residuals(condition, estimator, field, x, key=draw_key) ** 2)


def condition_residuals(
    condition: AbstractCondition,
    estimator: AbstractEstimator,
    field: ScalarField,
    points: Points,
    *,
    key: PRNGKey,
) -> Values:
    """The residual of one condition at each point."""
    drawn = estimator.draw(condition.operators, points.shape[1], key=key)

    def at(x: jax.Array) -> Scalar:
        return condition.residual(x, *estimator(field, condition.operators, x, drawn))

    return jax.vmap(at)(points)
