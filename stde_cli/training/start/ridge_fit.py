"""A ridge by dense least squares, where that has room."""

from functools import partial
from typing import Any, TypeAlias

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree

from stde_cli.ansatz.guess import Guess
from stde_cli.ansatz.ridge import RidgePolynomials
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.system.types import PRNGKey
from stde_cli.training.levenberg_marquardt import Unknowns, levenberg_marquardt
from stde_cli.training.start.base import Units
from stde_cli.training.start.equations import Equations

_MOST_UNKNOWNS = 2_000
_POINTS_PER_UNKNOWN, _CONDITION_POINTS_PER_UNKNOWN = 3, 0.5
_FEWEST_POINTS = 1_000
_HELD_OUT = 1, 1
_ROUNDS = 20

_Parts: TypeAlias = tuple[Any, Any, Any]
"""Arrays: the radial part, the weights, the readout."""


def refined(
    residual: SampledResidual, units: Units, guess: Guess, ridge: RidgePolynomials, *, key: PRNGKey
) -> Guess:
    """The guess with its radial part, directions and polynomials in them fitted together.

    As it is where it has no direction, and where there are too many unknowns. A high degree is
    told from the next by little, which conjugate gradients are slow to see, and a decomposition is
    not.

    Args:
        residual: whose operators are exact.
        ridge: along whose directions points are spread.
    """
    at, unravel = ravel_pytree(_parts(guess))
    numbers = _low_degrees(guess)
    count = len(numbers)
    if count > _MOST_UNKNOWNS:
        return guess
    found = guess.ridge
    assert found is not None
    free, _ = ravel_pytree((jnp.ones(2), 1.0 * (found.weights != 0), 1.0 * found.terms))
    points = max(_FEWEST_POINTS, _POINTS_PER_UNKNOWN * count)
    of_conditions = int(_CONDITION_POINTS_PER_UNKNOWN * count)
    equations = Equations(residual, units, (points, of_conditions), _HELD_OUT, ridge=ridge, key=key)

    def moved(step: Unknowns) -> Guess:
        return eqx.tree_at(_parts, guess, unravel(at.at[numbers].add(free[numbers] * step)))

    def fit(step: Unknowns) -> Unknowns:
        return levenberg_marquardt(partial(equations.linearised, moved), step, rounds=_ROUNDS)[0]

    still = jnp.zeros(count, at.dtype)
    return moved(lax.cond(found.along > 0, fit, lambda step: step, still))


def _parts(guess: Guess) -> _Parts:
    assert guess.ridge is not None
    return guess.powers, guess.ridge.weights, guess.ridge.readout


def _low_degrees(guess: Guess) -> np.ndarray:
    """The numbers of the unknowns that may be used: not the products of high degrees."""
    powers, weights, readout = _parts(guess)
    low = np.indices(readout.shape).sum(axis=0) < len(readout)
    return np.flatnonzero(np.concatenate([np.ones(powers.size + weights.size), low.ravel()]))
