from typing import Annotated, Any, Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from annotated_types import MinLen
from jax import lax
from jaxtyping import Array, Int, PyTree

from stde_cli.ansatz.guess import Guess
from stde_cli.ansatz.partners import Partners
from stde_cli.ansatz.ridge import RidgePolynomials
from stde_cli.ansatz.windows import WindowPolynomials
from stde_cli.estimators import Exact
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.operators import KnowsLaplacian
from stde_cli.problem.pdes import AbstractPDE
from stde_cli.system.ranges import Count, Degree, Directions, Window
from stde_cli.system.types import PRNGKey
from stde_cli.training.start.base import AbstractStart, Start, is_exact_in_one_pass, with_units
from stde_cli.training.start.interactions import found, listed
from stde_cli.training.start.misfit import PLENTY, Misfit, improved
from stde_cli.training.start.ridge import ridge_of
from stde_cli.training.start.ridge_fit import RidgeFit
from stde_cli.training.start.trivial import FromTrivialSolution

_NUMBERS = 1_000_000
"""Coordinates of all points in one least squares problem: some thirty arrays of that size exist."""
_FEWEST_POINTS, _MOST_POINTS = 8, 5_000
_POINTS_PER_TERM = 2
"""Each point has a gradient component for every position, to tell a position's terms apart."""

Interactions: TypeAlias = (
    Literal["found", "neighbours"]
    | Annotated[list[Annotated[list[int | str], MinLen(1)]], MinLen(1)]
)
_Coefficients: TypeAlias = tuple[Any, ...]
"""Arrays: of a guess's radial part, of the shared terms, and of those of some coordinates each."""


class FromLeastSquares(AbstractStart):
    """Start at the guess whose residual is least: radial part, and polynomials of few coordinates.

    Of periodic coordinates they are polynomials in sines and cosines: cos ka has degree k.

    From the trivial solution, by `rounds` Gauss-Newton steps in the guess's coefficients, on the
    residual and its gradient, each at fresh points. A step counts where it lowers the residual at
    other points. The network's unit and that of the loss are what is then left.

    Args:
        window: coordinates in a polynomial, at most; as many as are listed where `interactions` is
            a list.
        degree: of the polynomials, lower where there is no room for points to tell their terms
            apart; with 0 the radial part alone is fitted.
        rounds: Gauss-Newton steps; an equation that is linear in u needs more than one only
            because each sees other points.
        iterations: of conjugate gradients in each, at most.
        interactions: which coordinates are together in a polynomial: "neighbours", those that are
            "found" to be so in what the equation gives, or lists of numbers (from 1) or names.
            What is found is for equations whose operators are exact without sampling; of others,
            and where few pairs do not explain the equation, neighbours are taken.
        directions: where it is found that all coordinates matter, but along few directions, the
            polynomials are of so many of these at most, up to a degree of 32, and the directions
            are fitted with them, at points that are moved out along them. Where all coordinates
            are numbered.
    """

    window: Window = 3
    degree: Degree = 3
    rounds: Count = 4
    iterations: Count = 40
    # Not what configs/start/ has: runs from before it did have neighbours.
    interactions: Interactions = "neighbours"
    directions: Directions = 0

    def __check_init__(self) -> None:
        for name, least in (("window", 1), ("degree", 0), ("rounds", 1), ("iterations", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} must be {least} or more")

    def __call__(self, residual: SampledResidual, points: int, *, key: PRNGKey) -> Start:
        pde = residual.pde
        first_key, rounds_key, interactions_key, find_key, ridge_key = jax.random.split(key, 5)
        first = FromTrivialSolution()(residual, points, key=first_key)
        assert isinstance(first.guess, Guess)
        if is_exact_in_one_pass(pde):
            residual = SampledResidual(pde, Exact())
        fitted = max(_FEWEST_POINTS, min(_MOST_POINTS, _NUMBERS // pde.domain.dim))
        polynomials = self._polynomials(pde, fitted, key=interactions_key)
        powers = first.guess.powers
        of_few = Guess(powers, pde.constraint, polynomials)
        misfit = Misfit(residual, first.units)
        keys = jax.random.split(rounds_key, self.rounds + 1)

        def improve(guess: Guess, round: tuple[Int[Array, ""], PRNGKey]) -> tuple[Guess, None]:
            number, key = round
            # Of lower degrees first: what they explain would be slow to find among all others.
            return self._improved(misfit, guess, number + 1, fitted, key=key), None

        def fit_few() -> Guess:
            return lax.scan(improve, of_few, (jnp.arange(self.rounds), keys[:-1]))[0]

        ridge = self._ridge(pde, polynomials.partners, key=find_key)
        if ridge is None:
            guess = fit_few()
        else:
            fit_ridge = RidgeFit(residual, first.units, self.rounds, fitted, self.iterations)

            # One or the other: what a ridge leaves is none of a few coordinates.
            def fit_along() -> Guess:
                radial, found = fit_ridge(powers, ridge, key=ridge_key)
                return Guess(radial, pde.constraint, polynomials, found)

            def fit_others() -> Guess:
                few = fit_few()
                return Guess(few.powers, pde.constraint, few.polynomials, ridge)

            guess = lax.cond(ridge.along > 0, fit_along, fit_others)

        def residuals(guess: KnowsLaplacian) -> PyTree:
            return misfit(guess, points, key=keys[-1])

        return with_units(residuals, guess, first)

    def _polynomials(self, pde: AbstractPDE, points: int, *, key: PRNGKey) -> WindowPolynomials:
        """Of the highest degree, up to that asked for, whose terms the points can tell apart."""
        layout = pde.layout
        partners = self._partners(pde, key=key)
        degree = self.degree
        while True:
            polynomials = WindowPolynomials(
                layout.family_range,
                single=tuple(layout.names.values()),
                window=self.window if partners is None else 1 + partners.members.shape[1],
                degree=degree,
                partners=partners,
                circles=pde.domain.circles,
            )
            if degree <= 1 or _POINTS_PER_TERM * len(polynomials.readout) <= points:
                return polynomials
            degree -= 1

    def _partners(self, pde: AbstractPDE, *, key: PRNGKey) -> Partners | None:
        """None: neighbours, or nothing to tell apart."""
        if not isinstance(self.interactions, str):
            return listed(self.interactions, pde.layout)
        together = self.window >= len(pde.layout.family_range)
        if self.interactions == "neighbours" or self.window == 1 or self.degree < 2 or together:
            return None
        return found(pde, self.window - 1, key=key) if is_exact_in_one_pass(pde) else None

    def _ridge(
        self, pde: AbstractPDE, partners: Partners | None, *, key: PRNGKey
    ) -> RidgePolynomials | None:
        if not self.directions or self.interactions != "found" or partners is None:
            return None
        return ridge_of(pde, self.directions, partners, key=key)

    def _improved(
        self,
        misfit: Misfit,
        guess: Guess,
        degree: Int[Array, ""],
        points: int,
        *,
        key: PRNGKey,
    ) -> Guess:
        """By a step in the coefficients of terms of at most that degree."""
        old = _coefficients(guess)
        shared, windowed = guess.polynomials.degrees
        kept = jnp.ones(2), shared <= degree, (windowed <= degree)[:, None]
        kept = tuple(each.astype(guess.powers.dtype) for each in kept)

        def moved(shift: _Coefficients) -> Guess:
            new = jax.tree.map(lambda c, k, s: c + k * s, old, kept, shift)
            return eqx.tree_at(_coefficients, guess, new)

        few = points < PLENTY * (guess.polynomials.readout.size + guess.polynomials.shared.size)
        still = jax.tree.map(jnp.zeros_like, old)
        return moved(
            improved(misfit, moved, still, points, self.iterations, gradients=few, key=key)
        )


def _coefficients(guess: Guess) -> _Coefficients:
    return guess.powers, guess.polynomials.shared, guess.polynomials.readout
