"""What a field leaves of an equation and its conditions, at points that training never sees."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from stde_cli.ansatz.hard_constraint import HardConstraint
from stde_cli.objective.metrics import Evaluator
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.system.types import PRNGKey, Scalar

_MOST_NUMBERS = 100_000_000
"""Coordinates of all points."""


class Sizes(NamedTuple):
    """The squares that what is left is measured against."""

    equation: float
    conditions: float


def left_over(
    ansatz: HardConstraint,
    evaluator: Evaluator,
    sizes: Sizes,
    points: int,
    *,
    key: PRNGKey,
    between: Callable[[], None],
) -> float:
    """sqrt(mean R^2 / size + sum of weight * mean square / size) over fresh points.

    The equation's R^2 is without the estimator's variance; that of a condition that samples is not.

    Args:
        sizes: of the equation, and of all conditions together.
        points: at most; of each condition that does not say how many, too.
        between: called now and then, and may raise.
    """
    residual = evaluator.residual
    equation_key, conditions_key = jax.random.split(key)
    fitting = max(evaluator.batch, _MOST_NUMBERS // residual.pde.domain.dim)
    count = min(points, fitting)
    root = evaluator.residual_rms(ansatz, count, key=equation_key, between=between)
    square = root**2 / sizes.equation
    if residual.conditions:
        found = _conditions(ansatz, residual, min(count, evaluator.batch), conditions_key)
        square += float(found) / sizes.conditions
    return square**0.5


@eqx.filter_jit
def _conditions(
    ansatz: HardConstraint, residual: SampledResidual, points: int, key: PRNGKey
) -> Scalar:
    keys = jax.random.split(key, len(residual.conditions))
    squares = [
        asked.condition.weight * asked.mean_square(ansatz, points, key=own_key)
        for asked, own_key in zip(residual.conditions, keys, strict=True)
    ]
    return sum(squares, jnp.zeros(()))
