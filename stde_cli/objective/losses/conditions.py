import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.system.types import PRNGKey, Scalar, ScalarField


def condition_loss(
    residual: SampledResidual,
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
    for number, condition in enumerate(residual.pde.conditions):
        square = condition_square(residual, number, field, points, key=key)
        weight = condition.weight if factors is None else condition.weight * factors[number]
        total = total + weight * square
    return total


def condition_square(
    residual: SampledResidual, number: int, field: ScalarField, points: int, *, key: PRNGKey
) -> Scalar:
    """mean residual^2 of one condition, at the points at which the sum over all has it."""
    conditions = residual.conditions
    own_key = jax.random.split(key, len(conditions))[number]
    return conditions[number].mean_square(field, points, key=own_key)
