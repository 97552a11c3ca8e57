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
from jaxtyping import Array, Float, Int

from stde_cli.ansatz.guess import Guess, no_guess
from stde_cli.ansatz.ridge import RidgePolynomials
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.system.types import PRNGKey
from stde_cli.training.levenberg_marquardt import Unknowns, levenberg_marquardt
from stde_cli.training.start.base import Units
from stde_cli.training.start.equations import Equations
from stde_cli.training.start.misfit import Misfit, improved

_MOST_UNKNOWNS = 1_500
"""Of a dense fit."""
_FEWEST_POINTS, _POINTS_PER_UNKNOWN, _CONDITION_POINTS_PER_UNKNOWN = 1_000, 3, 0.5
_HELD_OUT = 1, 1
_DENSE_ROUNDS = 20
_DEGREES = 4, 8, 16, 32
"""Up to which terms are fitted, one after the other: at wrong directions high ones fit noise."""

_Shift: TypeAlias = tuple[Array, Array, Array]
"""Of the radial part, of the weights, and of terms whose degree is low enough."""
_Moved: TypeAlias = Callable[..., Guess]
"""By a shift, in terms up to a degree."""


class RidgeFit(eqx.Module):
    """Fits powers[0] + powers[1] * constraint + ridge, as a guess.

    By orthogonal decompositions, where there are few enough unknowns. High degrees are told apart
    by little, which conjugate gradients are slow to see; but they have room for any number.

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
        orders = np.indices(ridge.readout.shape).sum(axis=0)
        low = np.nonzero(orders < len(ridge.readout))
        nothing = no_guess(self.residual.pde.constraint)

        def moved(shift: _Shift, degree: Int[Array, ""] | int = _DEGREES[-1]) -> Guess:
            # What belongs to directions that are not there stays zero.
            weights = ridge.weights + jnp.where(ridge.weights != 0, shift[1], 0.0)
            terms = jnp.where(ridge.terms[low] & (orders[low] <= degree), shift[2], 0.0)
            moved = RidgePolynomials(weights, ridge.offsets, ridge.readout.at[low].add(terms))
            return Guess(powers + shift[0], nothing.constraint, nothing.polynomials, moved)

        still = jnp.zeros_like(powers), jnp.zeros_like(ridge.weights), jnp.zeros(len(low[0]))
        unknowns = sum(part.size for part in still)
        fit = self._dense if unknowns <= _MOST_UNKNOWNS else self._by_rounds
        found = moved(fit(moved, still, ridge, key=key))
        assert found.ridge is not None
        return found.powers, found.ridge

    def _dense(
        self, moved: _Moved, still: _Shift, ridge: RidgePolynomials, *, key: PRNGKey
    ) -> _Shift:
        at, unravel = ravel_pytree(still)
        points = max(_FEWEST_POINTS, _POINTS_PER_UNKNOWN * at.size)
        of_conditions = int(_CONDITION_POINTS_PER_UNKNOWN * at.size)
        equations = Equations(
            self.residual, self.units, (points, of_conditions), _HELD_OUT, ridge=ridge, key=key
        )

        def fitted(at: Unknowns, degree: Int[Array, ""]) -> tuple[Unknowns, None]:
            linearised = partial(equations.linearised, lambda at: moved(unravel(at), degree))
            return levenberg_marquardt(linearised, at, rounds=_DENSE_ROUNDS)[0], None

        return unravel(lax.scan(fitted, at, jnp.array(_DEGREES))[0])

    def _by_rounds(
        self, moved: _Moved, still: _Shift, ridge: RidgePolynomials, *, key: PRNGKey
    ) -> _Shift:
        misfit = Misfit(self.residual, self.units, ridge)

        def improve(at: _Shift, key: PRNGKey) -> tuple[_Shift, None]:
            shifted = improved(
                misfit, moved, at, self.points, self.iterations, gradients=False, key=key
            )
            return shifted, None

        return lax.scan(improve, still, jax.random.split(key, self.rounds))[0]
