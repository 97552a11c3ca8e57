import jax
import jax.numpy as jnp

from stde_cli._types import Points, PRNGKey, Scalar, ScalarField, Values
from stde_cli.estimators import AbstractEstimator
from stde_cli.pdes import AbstractCondition, AbstractPDE


def condition_loss(
    pde: AbstractPDE,
    estimator: AbstractEstimator,
    field: ScalarField,
    points: int,
    *,
    key: PRNGKey,
) -> Scalar:
    """sum over the PDE's conditions of weight * mean residual^2, on `points` fresh points each."""
    total = jnp.zeros(())
    for number, condition in enumerate(pde.conditions):
        points_key, draw_key = jax.random.split(jax.random.fold_in(key, number))
        x = condition.sample(points, key=points_key)
        residual = condition_residuals(condition, estimator, field, x, key=draw_key)
        total = total + condition.weight * jnp.mean(residual**2)
    return total


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
