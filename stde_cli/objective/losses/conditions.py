import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stde_cli.objective.losses.base import Squares
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.system.types import Point, PRNGKey, Scalar, ScalarField


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
        square = condition_squares(residual, number, points, key=key).sum(field)
        weight = condition.weight if factors is None else condition.weight * factors[number]
        total = total + weight * square
    return total


def condition_squares(
    residual: SampledResidual, number: int, points: int, *, key: PRNGKey
) -> Squares:
    """mean residual^2 of one condition, at the points at which the sum over all has it."""
    conditions = residual.conditions
    own_key = jax.random.split(key, len(conditions))[number]
    asked = conditions[number]
    fresh, drawn = asked.drawn(points, key=own_key)

    def terms(field: ScalarField, x: Point) -> Float[Array, " *components"]:
        return asked(field, x, drawn) / len(fresh) ** 0.5

    return Squares(fresh, terms)
