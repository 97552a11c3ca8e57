from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int, PyTree

from stde_cli.ansatz.guess import no_guess
from stde_cli.ansatz.hard_constraint import Zero, without_network
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.system.types import Points, PRNGKey, Scalar
from stde_cli.training.start.base import AbstractStart, Start, Units

_DECADES = (-8, 3)
_CANDIDATES = 1200
_SECTIONS = 40
_GOLDEN = 0.381966


class FromTrivialSolution(AbstractStart):
    """Start at the multiple of the constraint whose residual is least.

    That multiple is the unit, or else, where it is larger, the multiple by which what is left of
    the residual could be mended: sqrt(mean R^2 / mean (dR/ds)^2) there. The loss is divided by the
    mean square of the residual of the lift, that is of the source where there is no lift, so that
    it reads as a relative one. Where that vanishes training starts at the lift, in units of what
    the conditions ask for.

    What was found is where an equation in time starts: its lift is nearer to u, and drifts make its
    residual larger, than what a network as it is drawn would add.
    """

    def __call__(self, residual: SampledResidual, points: int, *, key: PRNGKey) -> Start:
        pde = residual.pde
        points_key, directions_key, given_key = jax.random.split(key, 3)
        x = pde.domain.sample_interior(points, key=points_key)
        of_multiple = _residual_of_multiples(residual, x, key=directions_key)
        at_zero = jnp.mean(of_multiple(jnp.zeros(())) ** 2)
        multiple = _least(of_multiple)
        left, slope = jax.jvp(of_multiple, (multiple,), (jnp.ones(()),))
        remaining = jnp.sqrt(jnp.mean(left**2) / jnp.mean(slope**2))
        usable = jnp.isfinite(multiple) & (jnp.mean(left**2) < at_zero)
        given = _size_of_data(residual, x, key=given_key)
        unit = jnp.where(remaining > jnp.abs(multiple), remaining, multiple)
        unit = jnp.where(usable & jnp.isfinite(unit), unit, given)
        guess = no_guess(pde.constraint)
        powers = guess.powers.at[0].set(jnp.where(usable, multiple, 0.0))
        return Start(
            eqx.tree_at(lambda g: g.powers, guess, powers),
            scale=unit,
            units=Units(loss=jnp.where(at_zero > 0, at_zero, given**2), conditions=given**2),
            silent=pde.time is not None,
        )


def _size_of_data(residual: SampledResidual, x: Points, *, key: PRNGKey) -> Scalar:
    """The root mean square of the lift, or of the conditions' values; 1 where both are zero."""
    lift, conditions = residual.pde.lift, residual.conditions
    squares = [] if lift is None else [jnp.mean(jax.vmap(lift)(x) ** 2)]
    keys = jax.random.split(key, len(conditions))
    for condition, own_key in zip(conditions, keys, strict=True):
        squares.append(condition.mean_square(Zero(), len(x), key=own_key))
    largest = jnp.max(jnp.stack([jnp.zeros(()), *squares]))
    return jnp.where(largest > 0, jnp.sqrt(largest), 1.0)


def _residual_of_multiples(
    residual: SampledResidual, x: Points, *, key: PRNGKey
) -> Callable[[Scalar], jax.Array]:
    """s -> the residuals of lift + s * constraint at the points x.

    Operators are of degree 1 or 2 in u: their Taylor series in s at zero ends there. Its terms are
    derivatives, not differences of values at several s, in which a lift that is larger or smaller
    by far than the constraint would leave nothing but its rounding.
    """
    pde, drawn, source = residual.pde, residual.draw(key=key), residual.source(x)

    def at(s: Scalar) -> tuple[jax.Array, dict[str, jax.Array]]:
        guess = no_guess(pde.constraint)
        guess = eqx.tree_at(lambda g: g.powers, guess, guess.powers.at[0].set(s))
        field = without_network(pde.constraint, guess, pde.lift)
        u, found = jax.vmap(lambda point: residual.read(field, point, drawn))(x)
        return u, dict(found)

    def slope(s: Scalar) -> PyTree[jax.Array]:
        return jax.jvp(at, (s,), (jnp.ones(()),))

    (constant, linear), (_, curvature) = jax.jvp(slope, (jnp.zeros(()),), (jnp.ones(()),))

    def of_multiple(s: Scalar) -> jax.Array:
        def series(a: jax.Array, b: jax.Array, c: jax.Array) -> jax.Array:
            return a + s * (b + s * c / 2)

        u, found = jax.tree.map(series, constant, linear, curvature)
        return jax.vmap(pde.lhs)(x, u, found) - source

    return of_multiple


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
