from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int, PyTree

from stde_cli.ansatz.random_features import RandomFeatures
from stde_cli.estimators import Exact
from stde_cli.expressions.symmetric import Arguments
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.operators import KnowsLaplacian
from stde_cli.system.ranges import Count, Positive
from stde_cli.system.types import PRNGKey, Scalar
from stde_cli.training.start.base import AbstractStart, Start, with_units
from stde_cli.training.start.feature_fits import (
    Choice,
    Coupled,
    Fits,
    Inputs,
    Scales,
)
from stde_cli.training.start.misfit import Misfit
from stde_cli.training.start.trivial import FromTrivialSolution

_SMALLER = 4
"""The search has so many times fewer features than the fit."""
_FIRST_SCALES = (0.125, 0.5, 2.0)
_FACTORS = (2.0, 2**0.5)
"""By which scales are changed: by the coarser until none helps."""
_MOST_TRIALS = 80
_BETTER = 0.97
"""What the residual must fall to for a trial to count."""
_FINAL = ((2**0.5, 1.0), (1.0, 1.0))
_COUPLED = ((1.0, 0.25), (1.0, 0.25), (1.0, 0.0), (2**0.5, 0.0), (2**-0.5, 0.0))
"""Of each of the final fits: by what its scales differ from those found, for more features are told
apart at larger ones; and the part of the features that see any coordinates beside one another. The
others see what the fit before, in which some were free, says to have something in common."""
_OPERATIONS_PER_SECOND = 1e10
_OPERATIONS_OF_SEARCH, _OPERATIONS_OF_FIT = 80, 20
"""For a linear equation, in units of the cube of the number of features."""


class FromRandomFeatures(AbstractStart):
    """Start at the sum of random features whose residual is least, for few coordinates.

    Features tanh(w . (x - c)) have centres c in the domain and normal w. How fast they vary with
    each coordinate, and how many coordinates of a family each sees, is found: by fits of a quarter
    of the features, judged by the residual at points held out. A fit is a least squares solution
    for the features' factors, iterated where the equation is not linear. The network's unit and
    that of the loss are what is then left.

    Args:
        of: functions of the point that the features are of; "symmetric": the named coordinates, and
            the sum and the sum of squares of the others; None: the coordinates.
        features: how many; None: as many as the decompositions for a linear equation take
            `seconds` for, at 10^10 operations a second.
        rounds: of a fit, at most.
    """

    of: Arguments | None = None
    features: Count | None = None
    seconds: Positive = 30.0
    rounds: Count = 20

    def __call__(self, residual: SampledResidual, points: int, *, key: PRNGKey) -> Start:
        first_key, inputs_key, small_key, large_key, left_key = jax.random.split(key, 5)
        first = FromTrivialSolution()(residual, points, key=first_key)
        inputs = Inputs(residual.pde, self.of, key=inputs_key)
        ways = _FINAL + _COUPLED if inputs.may_be_coupled else _FINAL
        exact, count = SampledResidual(residual.pde, Exact()), self.count(len(ways))
        small = Fits(exact, first.units, inputs, max(2, count // _SMALLER), key=small_key)
        together, scales = _found(small, self.rounds)
        large = Fits(exact, first.units, inputs, count, key=large_key)

        def fit(
            coupled: Coupled | None, way: tuple[Scalar, Scalar]
        ) -> tuple[Coupled | None, tuple[Scalar, RandomFeatures]]:
            factor, free = way
            found = large(together, scales + jnp.log2(factor), self.rounds, coupled, free)
            if coupled is not None:
                coupled = jnp.where(free > 0, large.coupled(found[1]), coupled)
            return coupled, found

        factors, free = jnp.array(ways).T
        _, (scores, fitted) = lax.scan(fit, large.any_coupled, (factors, free))
        best = jax.tree.map(lambda leaf: leaf[jnp.argmin(scores)], fitted)

        def residuals(guess: KnowsLaplacian) -> PyTree[Array]:
            return Misfit(exact, first.units)(guess, points, key=left_key)

        # What is left may be rounding: no network as it is drawn is added to it.
        return with_units(residuals, inputs.field(best), first)._replace(silent=True)

    def count(self, fits: int = len(_FINAL)) -> int:
        """Of the features, for so many fits after the search."""
        if self.features is not None:
            return self.features
        operations = _OPERATIONS_OF_SEARCH + fits * _OPERATIONS_OF_FIT
        return int((self.seconds * _OPERATIONS_PER_SECOND / operations) ** (1 / 3))


class _Search(NamedTuple):
    trials: Int[Array, ""]
    together: Choice
    scales: Scales
    score: Scalar
    move: Int[Array, ""]
    """The next one; one that helped is made again."""
    failed: Int[Array, ""]
    """Moves in turn that did not help."""
    level: Int[Array, ""]
    """Of `_FACTORS`."""


def _found(fits: Fits, rounds: int) -> tuple[Choice, Scales]:
    """By trial: a coarse grid of one scale for all inputs, then one group at a time."""
    numbers = len(fits.inputs.numbers_together)
    groups = 1 + max(fits.inputs.groups)
    grid = [(n, scale) for n in range(numbers) for scale in np.log2(_FIRST_SCALES)]
    first_together = jnp.array([n for n, _ in grid], jnp.int32)
    first_scales = jnp.array([[scale] * groups for _, scale in grid])
    every = np.ones((1, groups))
    directions = np.concatenate([every, np.eye(groups)]) if groups > 1 else every
    moves = jnp.array([sign * direction for direction in directions for sign in (1, -1)])
    steps = jnp.log2(jnp.array(_FACTORS))

    def unfinished(search: _Search) -> Bool[Array, ""]:
        return (search.level < len(_FACTORS)) & (search.trials < _MOST_TRIALS)

    def attempt(search: _Search) -> _Search:
        first = search.trials < len(grid)
        together = jnp.where(first, first_together[search.trials], search.together)
        moved = search.scales + steps[search.level] * moves[search.move]
        scales = jnp.where(first, first_scales[search.trials], moved)
        score, _ = fits(together, scales, rounds)
        better = score < _BETTER * search.score
        failed = jnp.where(first | better, 0, search.failed + 1)
        exhausted = failed == len(moves)
        return _Search(
            search.trials + 1,
            jnp.where(better, together, search.together),
            jnp.where(better, scales, search.scales),
            jnp.where(better, score, search.score),
            jnp.where(first | better, search.move, (search.move + 1) % len(moves)),
            jnp.where(exhausted, 0, failed),
            search.level + exhausted,
        )

    zero = jnp.zeros((), jnp.int32)
    nothing = _Search(zero, zero, first_scales[0], jnp.array(jnp.inf), zero, zero, zero)
    found = lax.while_loop(unfinished, attempt, nothing)
    return found.together, found.scales
