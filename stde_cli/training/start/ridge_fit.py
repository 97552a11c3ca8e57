"""A ridge by least squares: its directions, and polynomials in them, at once."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from stde_cli.ansatz.guess import Guess, no_guess
from stde_cli.ansatz.ridge import RidgePolynomials
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.system.types import PRNGKey
from stde_cli.training.levenberg_marquardt import levenberg_marquardt
from stde_cli.training.start.base import Units
from stde_cli.training.start.equations import Equations
from stde_cli.training.start.misfit import PLENTY, Misfit, better, improved

_MOST_UNKNOWNS = 1_500
"""Of a dense fit."""
_FEWEST_POINTS, _POINTS_PER_UNKNOWN, _CONDITION_POINTS_PER_UNKNOWN = 1_000, 3, 0.5
_HELD_OUT = 1, 1
_DENSE_ROUNDS = 20

_Shift: TypeAlias = tuple[Array, Array, Array]
"""Of the radial part, of the weights, and of terms whose degree is low enough."""
_Moved: TypeAlias = Callable[[_Shift], Guess]


class RidgeFit(eqx.Module):
    """Fits powers[0] + powers[1] * constraint + ridge, as a guess.

    By conjugate gradients, which leave alone what the residuals hardly see; and then, where there
    are few enough unknowns, by orthogonal decompositions, to the end: high degrees are told apart
    by little.

    Args:
        residual: whose operators are exact, for a dense fit.
        rounds: of conjugate gradients, with `iterations` each, at so many fresh `points`.
    """

    residual: SampledResidual
    units: Units
    rounds: int = eqx.field(static=True)
    points: int = eqx.field(static=True)
    iterations: int = eqx.field(static=True)

    def __call__(
        self, powers: Float[Array, "2"], ridge: RidgePolynomials, *, key: PRNGKey
    ) -> tuple[Float[Array, "2"], RidgePolynomials]:
        """From these on, at points that are spread along the directions."""
        low = np.nonzero(np.indices(ridge.readout.shape).sum(axis=0) < len(ridge.readout))
        nothing = no_guess(self.residual.pde.constraint)

        def moved(shift: _Shift) -> Guess:
            # What belongs to directions that are not there stays zero.
            there = jnp.any(ridge.weights != 0, axis=1, keepdims=True)
            weights = ridge.weights + jnp.where(there, shift[1], 0.0)
            terms = jnp.where(ridge.terms[low], shift[2], 0.0)
            found = RidgePolynomials(weights, ridge.offsets, ridge.readout.at[low].add(terms))
            return Guess(powers + shift[0], nothing.constraint, nothing.polynomials, found)

        still = jnp.zeros_like(powers), jnp.zeros_like(ridge.weights), jnp.zeros(len(low[0]))
        rounds_key, dense_key = jax.random.split(key)
        shift = self._by_rounds(moved, still, ridge, key=rounds_key)
        if _size(still) <= _MOST_UNKNOWNS:
            shift = self._dense(moved, shift, ridge, key=dense_key)
        found = moved(shift)
        assert found.ridge is not None
        return found.powers, found.ridge

    def _by_rounds(
        self, moved: _Moved, still: _Shift, ridge: RidgePolynomials, *, key: PRNGKey
    ) -> _Shift:
        misfit = Misfit(self.residual, self.units, ridge)
        few = self.points < PLENTY * _size(still)

        def improve(at: _Shift, key: PRNGKey) -> tuple[_Shift, None]:
            shifted = improved(
                misfit, moved, at, self.points, self.iterations, gradients=few, key=key
            )
            return shifted, None

        return lax.scan(improve, still, jax.random.split(key, self.rounds))[0]

    def _dense(
        self, moved: _Moved, shift: _Shift, ridge: RidgePolynomials, *, key: PRNGKey
    ) -> _Shift:
        fit_key, check_key = jax.random.split(key)
        at, unravel = ravel_pytree(shift)
        points = max(_FEWEST_POINTS, _POINTS_PER_UNKNOWN * at.size)
        of_conditions = int(_CONDITION_POINTS_PER_UNKNOWN * at.size)
        equations = Equations(
            self.residual, self.units, (points, of_conditions), _HELD_OUT, ridge=ridge, key=fit_key
        )
        linearised = partial(equations.linearised, lambda at: moved(unravel(at)))
        new = unravel(levenberg_marquardt(linearised, at, rounds=_DENSE_ROUNDS)[0])
        misfit = Misfit(self.residual, self.units, ridge)
        return better(misfit, moved, shift, new, points, key=check_key)


def _size(shift: _Shift) -> int:
    return sum(part.size for part in shift)
