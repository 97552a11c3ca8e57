"""Where training starts, and in what units: found from the PDE's own data, never from its solution.

In many dimensions the solution is close to a multiple of the constraint, and that multiple may be
in the hundreds. A network that starts at zero needs a thousand steps to get there, and one that is
not scaled meets gradients of any size.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int, PyTree

from stde_cli import least_squares
from stde_cli._types import Point, Points, PRNGKey, Scalar
from stde_cli.ansatz import without_network
from stde_cli.estimators import AbstractEstimator, Exact
from stde_cli.guess import Guess, no_guess
from stde_cli.losses import condition_residuals, residual_and_gradient
from stde_cli.operators import Drift, GradientNorm, Laplacian, partial_sum
from stde_cli.pdes import AbstractPDE
from stde_cli.windows import WindowPolynomials

_NUMBERS = 1_000_000
"""Coordinates of all points in one least squares problem: some thirty arrays of that size exist."""
_FEWEST_POINTS, _MOST_POINTS = 8, 5_000
_PLENTY = 4
_DECADES = (-8, 3)
_CANDIDATES = 1200
_SECTIONS = 40
_GOLDEN = 0.381966


_Coefficients: TypeAlias = tuple[Array, Array, Array]
"""A guess's: of the radial part, of the shared terms and of the windows'."""


class Units(eqx.Module):
    """The loss of the equation is divided by `loss`, that of the conditions by `conditions`."""

    loss: Scalar
    conditions: Scalar


class Start(NamedTuple):
    """The ansatz is lift + constraint * (guess + scale * network)."""

    guess: Guess
    scale: Scalar
    units: Units


class AbstractStart(eqx.Module):
    """Chooses where a problem starts, and its units."""

    @abstractmethod
    def __call__(
        self, pde: AbstractPDE, estimator: AbstractEstimator, points: int, *, key: PRNGKey
    ) -> Start: ...


class FromNetwork(AbstractStart):
    """u = constraint * network as it is drawn, and the loss as it is, as published."""

    def __call__(
        self, pde: AbstractPDE, estimator: AbstractEstimator, points: int, *, key: PRNGKey
    ) -> Start:
        units = Units(loss=jnp.ones(()), conditions=jnp.ones(()))
        return Start(no_guess(pde.constraint), jnp.ones(()), units)


class FromTrivialSolution(AbstractStart):
    """Start at the multiple of the constraint whose residual is least.

    That multiple is the unit, or else, where it is larger, the multiple by which what is left of
    the residual could be mended: sqrt(mean R^2 / mean (dR/ds)^2) there. The loss is divided by the
    mean square of the residual of the lift, that is of the source where there is no lift, so that
    it reads as a relative one. Where that vanishes training starts at the lift, in units of what
    the conditions ask for.
    """

    def __call__(
        self, pde: AbstractPDE, estimator: AbstractEstimator, points: int, *, key: PRNGKey
    ) -> Start:
        points_key, directions_key, given_key = jax.random.split(key, 3)
        x = pde.domain.sample_interior(points, key=points_key)
        residual = _residual_of_multiples(pde, estimator, x, key=directions_key)
        at_zero = jnp.mean(residual(jnp.zeros(())) ** 2)
        multiple = _least(residual)
        left, slope = jax.jvp(residual, (multiple,), (jnp.ones(()),))
        remaining = jnp.sqrt(jnp.mean(left**2) / jnp.mean(slope**2))
        usable = jnp.isfinite(multiple) & (jnp.mean(left**2) < at_zero)
        given = _size_of_data(pde, estimator, x, key=given_key)
        unit = jnp.where(remaining > jnp.abs(multiple), remaining, multiple)
        unit = jnp.where(usable & jnp.isfinite(unit), unit, given)
        guess = no_guess(pde.constraint)
        powers = guess.powers.at[0].set(jnp.where(usable, multiple, 0.0))
        return Start(
            eqx.tree_at(lambda g: g.powers, guess, powers),
            scale=unit,
            units=Units(loss=jnp.where(at_zero > 0, at_zero, given**2), conditions=given**2),
        )


class FromLeastSquares(AbstractStart):
    """Start at the guess whose residual is least: radial part, and polynomials of neighbours.

    From the trivial solution, by `rounds` Gauss-Newton steps in the guess's coefficients, on the
    residual and its gradient, each at fresh points. A step counts where it lowers the residual at
    other points. The network's unit and that of the loss are what is then left.

    Args:
        window: neighbouring coordinates in a polynomial.
        degree: of the polynomials; with 0 the radial part alone is fitted.
        rounds: Gauss-Newton steps; an equation that is linear in u needs more than one only
            because each sees other points.
        iterations: of conjugate gradients in each.
    """

    window: int = 3
    degree: int = 3
    rounds: int = 4
    iterations: int = 20

    def __check_init__(self) -> None:
        if self.window < 1:
            raise ValueError(f"a window of {self.window} coordinates is empty")

    def __call__(
        self, pde: AbstractPDE, estimator: AbstractEstimator, points: int, *, key: PRNGKey
    ) -> Start:
        first = FromTrivialSolution()(pde, estimator, points, key=key)
        if _is_exact_in_one_pass(pde):
            estimator = Exact()
        layout = pde.layout
        polynomials = WindowPolynomials(
            layout.family_range,
            single=tuple(layout.names.values()),
            window=self.window,
            degree=self.degree,
        )
        guess = Guess(first.guess.powers, pde.constraint, polynomials)
        misfit = _Misfit(pde, estimator, first.units)
        fitted = max(_FEWEST_POINTS, min(_MOST_POINTS, _NUMBERS // pde.domain.dim))
        keys = jax.random.split(jax.random.fold_in(key, 1), self.rounds + 1)

        def improve(guess: Guess, round: tuple[Int[Array, ""], PRNGKey]) -> tuple[Guess, None]:
            number, key = round
            # Of lower degrees first: what they explain would be slow to find among all others.
            kept = _up_to_degree(guess, number + 1)
            return _improved(misfit, guess, kept, fitted, self.iterations, key=key), None

        guess, _ = lax.scan(improve, guess, (jnp.arange(self.rounds), keys[:-1]))

        def residuals(shift: Scalar) -> PyTree:
            powers = guess.powers.at[0].add(shift)
            moved = eqx.tree_at(lambda g: g.powers, guess, powers)
            return misfit(moved, points, key=keys[-1])

        left, slope = map(_square, jax.jvp(residuals, (jnp.zeros(()),), (jnp.ones(()),)))
        remaining = jnp.sqrt(left / slope)
        usable = jnp.isfinite(remaining) & (remaining > 0)
        return Start(
            guess,
            scale=jnp.where(usable, remaining, first.scale),
            units=jax.tree.map(lambda unit: jnp.where(usable, left, 1.0) * unit, first.units),
        )


def _is_exact_in_one_pass(pde: AbstractPDE) -> bool:
    """Whether every operator on a guess costs O(dim) without sampling."""
    kinds = Laplacian | GradientNorm | Drift
    return all(isinstance(o, kinds) or partial_sum(o) is not None for o in pde.operators.values())


class _Misfit(eqx.Module):
    """The residuals of equation and conditions, in units in which their squares are the loss."""

    pde: AbstractPDE
    estimator: AbstractEstimator
    units: Units

    def __call__(
        self, guess: Guess, points: int, *, gradients: bool = False, key: PRNGKey
    ) -> PyTree[Array]:
        """At so many fresh points; with the residuals' gradients where that is asked for."""
        pde, estimator = self.pde, self.estimator
        points_key, draw_key, conditions_key = jax.random.split(key, 3)
        field = without_network(pde.constraint, guess, pde.lift)
        x = pde.domain.sample_interior(points, key=points_key)
        drawn = estimator.draw(pde.operators, pde.domain.dim, key=draw_key)

        def at(y: Point) -> Scalar:
            return pde.residual(y, *estimator(field, pde.operators, y, drawn))

        if gradients:
            found = residual_and_gradient(at, x, pde.domain)
        else:
            found = (jax.vmap(at)(x) / points**0.5,)
        parts = [part / jnp.sqrt(self.units.loss) for part in found]
        for number, condition in enumerate(pde.conditions):
            at_key, draw_key = jax.random.split(jax.random.fold_in(conditions_key, number))
            x = condition.sample(points, key=at_key)
            residuals = condition_residuals(condition, estimator, field, x, key=draw_key)
            factor = jnp.sqrt(condition.weight / points / self.units.conditions)
            parts.append(factor * residuals)
        return parts


def _square(parts: PyTree[Array]) -> Scalar:
    return sum((jnp.sum(part**2) for part in jax.tree.leaves(parts)), jnp.zeros(()))


def _improved(
    misfit: _Misfit,
    guess: Guess,
    kept: _Coefficients,
    points: int,
    iterations: int,
    *,
    key: PRNGKey,
) -> Guess:
    """A Gauss-Newton step in the coefficients that are `kept`; none where it does not help."""
    fit_key, probe_key, check_key = jax.random.split(key, 3)
    old = _coefficients(guess)

    def moved(step: _Coefficients) -> Guess:
        return _with(guess, jax.tree.map(lambda c, k, s: c + k * s, old, kept, step))

    # Points that outnumber the unknowns by far need no gradients.
    few = points < _PLENTY * sum(c.size for c in old)

    def residuals(step: _Coefficients) -> PyTree[Array]:
        return misfit(moved(step), points, gradients=few, key=fit_key)

    still = jax.tree.map(jnp.zeros_like, old)
    improved = moved(least_squares.step(residuals, still, iterations, key=probe_key))
    before, after = lax.map(
        lambda each: _square(misfit(each, points, key=check_key)),
        jax.tree.map(lambda *each: jnp.stack(each), guess, improved),
    )
    return jax.tree.map(lambda new, old: jnp.where(after < before, new, old), improved, guess)


def _up_to_degree(guess: Guess, degree: Int[Array, ""]) -> _Coefficients:
    """1 for the coefficients of terms of at most that degree, 0 for the others."""
    shared, windowed = guess.polynomials.degrees
    return (
        jnp.ones(2),
        (shared <= degree).astype(guess.powers.dtype),
        (windowed <= degree).astype(guess.powers.dtype)[:, None],
    )


def _coefficients(guess: Guess) -> _Coefficients:
    return guess.powers, guess.polynomials.shared, guess.polynomials.readout


def _with(guess: Guess, coefficients: _Coefficients) -> Guess:
    def where(g: Guess):
        return g.powers, g.polynomials.shared, g.polynomials.readout

    return eqx.tree_at(where, guess, coefficients)


def _size_of_data(
    pde: AbstractPDE, estimator: AbstractEstimator, x: Points, *, key: PRNGKey
) -> Scalar:
    """The root mean square of the lift, or of the conditions' values; 1 where both are zero."""

    squares = [] if pde.lift is None else [jnp.mean(jax.vmap(pde.lift)(x) ** 2)]
    for number, condition in enumerate(pde.conditions):
        points_key, draw_key = jax.random.split(jax.random.fold_in(key, number))
        points = condition.sample(len(x), key=points_key)
        residuals = condition_residuals(condition, estimator, _zero, points, key=draw_key)
        squares.append(jnp.mean(residuals**2))
    largest = jnp.max(jnp.stack([jnp.zeros(()), *squares]))
    return jnp.where(largest > 0, jnp.sqrt(largest), 1.0)


def _residual_of_multiples(
    pde: AbstractPDE,
    estimator: AbstractEstimator,
    x: Points,
    *,
    key: PRNGKey,
) -> Callable[[Scalar], jax.Array]:
    """s -> the residuals of lift + s * constraint at the points x.

    Operators are of degree 1 or 2 in u: their values at three s give those at all.
    """
    drawn = estimator.draw(pde.operators, x.shape[1], key=key)
    source = jax.vmap(pde.source)(x)

    def at(s: float) -> tuple[jax.Array, dict[str, jax.Array]]:
        powers = jnp.array([s, 0.0])
        guess = eqx.tree_at(lambda g: g.powers, no_guess(pde.constraint), powers)
        field = without_network(pde.constraint, guess, pde.lift)
        u, found = jax.vmap(lambda point: estimator(field, pde.operators, point, drawn))(x)
        return u, dict(found)

    middle, upper, lower = at(0.0), at(1.0), at(-1.0)

    def residual(s: Scalar) -> jax.Array:
        def between(m: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
            return m + s * (a - b) / 2 + s**2 * (a + b - 2 * m) / 2

        u, found = jax.tree.map(between, middle, upper, lower)
        return jax.vmap(pde.lhs)(x, u, found) - source

    return residual


def _zero(x: jax.Array) -> Scalar:
    return jnp.zeros((), x.dtype)


def _least(residual: Callable[[Scalar], jax.Array]) -> Scalar:
    """The s of least mean square residual: a scan over magnitudes, then golden sections.

    The magnitudes lie about where the equation, made linear at s = 0, has its least squares
    solution. Powers of u bring the optimum down from there, by many decades where they rule.
    """
    zero = jnp.zeros(())
    at_zero, slope = jax.jvp(residual, (zero,), (jnp.ones(()),))
    linear = -jnp.vdot(slope, at_zero) / jnp.vdot(slope, slope)
    # A residual that is even in s has no slope there, and nothing to go by.
    linear = jnp.where(jnp.isfinite(linear) & (linear != 0), linear, 1.0)

    def square(s: Scalar) -> Scalar:
        return jnp.mean(residual(s) ** 2)

    magnitudes = linear * jnp.logspace(*_DECADES, _CANDIDATES)
    candidates = jnp.concatenate([magnitudes, -magnitudes])
    best = candidates[jnp.argmin(jax.vmap(square)(candidates))]
    ratio = 10 ** ((_DECADES[1] - _DECADES[0]) / (_CANDIDATES - 1))

    def section(_: Int[Array, ""], bracket: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        low, high = bracket
        left, right = low + _GOLDEN * (high - low), high - _GOLDEN * (high - low)
        keep_left = square(left) < square(right)
        return jnp.where(keep_left, low, left), jnp.where(keep_left, right, high)

    low, high = lax.fori_loop(0, _SECTIONS, section, (best / ratio, best * ratio))
    return (low + high) / 2
