"""Where training starts, and in what units: found from the PDE's own data, never from its solution.

In many dimensions the solution is close to a multiple of the constraint, and that multiple may be
in the hundreds. A network that starts at zero needs a thousand steps to get there, and one that is
not scaled meets gradients of any size.
"""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int

from stde_cli._types import Points, PRNGKey, Scalar
from stde_cli.estimators import AbstractEstimator
from stde_cli.pdes import AbstractPDE

_DECADES = (-8, 3)
_CANDIDATES = 1200
_SECTIONS = 40
_GOLDEN = 0.381966


class Units(eqx.Module):
    """The ansatz is solution * constraint * (offset + network); losses are divided by `loss`."""

    solution: Scalar
    loss: Scalar
    offset: float = eqx.field(static=True)


class AbstractStart(eqx.Module):
    """Chooses the units of a problem."""

    @abstractmethod
    def __call__(
        self, pde: AbstractPDE, estimator: AbstractEstimator, points: int, *, key: PRNGKey
    ) -> Units: ...


class FromNetwork(AbstractStart):
    """u = constraint * network as it is drawn, and the loss as it is, as published."""

    def __call__(
        self, pde: AbstractPDE, estimator: AbstractEstimator, points: int, *, key: PRNGKey
    ) -> Units:
        return Units(jnp.ones(()), jnp.ones(()), offset=0.0)


class FromTrivialSolution(AbstractStart):
    """Start at the multiple of the constraint whose residual is least; that multiple is the unit.

    The loss is divided by the mean square of the source, so that it reads as a relative one. Where
    the source vanishes, both units are 1.
    """

    def __call__(
        self, pde: AbstractPDE, estimator: AbstractEstimator, points: int, *, key: PRNGKey
    ) -> Units:
        points_key, directions_key = jax.random.split(key)
        x = pde.domain.sample_interior(points, key=points_key)
        source = jax.vmap(pde.source)(x)
        mean_square = jnp.mean(source**2)
        residual = _residual_of_multiples(pde, estimator, x, source, key=directions_key)
        multiple = _least(residual)
        usable = (mean_square > 0) & jnp.isfinite(multiple) & (multiple != 0)
        return Units(
            jnp.where(usable, multiple, 1.0),
            jnp.where(mean_square > 0, mean_square, 1.0),
            offset=1.0,
        )


def _residual_of_multiples(
    pde: AbstractPDE,
    estimator: AbstractEstimator,
    x: Points,
    source: jax.Array,
    *,
    key: PRNGKey,
) -> Callable[[Scalar], jax.Array]:
    """s -> the residuals of s * constraint at the points x. Operators are linear: s comes out."""
    drawn = estimator.draw(pde.operators, x.shape[1], key=key)

    def constraint(point: jax.Array):
        return estimator(pde.constraint, pde.operators, point, drawn)

    values, derivatives = jax.vmap(constraint)(x)

    def residual(s: Scalar) -> jax.Array:
        scaled = {name: s * derivative for name, derivative in derivatives.items()}
        return jax.vmap(pde.lhs)(x, s * values, scaled) - source

    return residual


def _least(residual: Callable[[Scalar], jax.Array]) -> Scalar:
    """The s of least mean square residual: a scan over magnitudes, then golden sections.

    The magnitudes lie about where the equation, made linear at s = 0, has its least squares
    solution. Powers of u bring the optimum down from there, by many decades where they rule.
    """
    zero = jnp.zeros(())
    at_zero, slope = jax.jvp(residual, (zero,), (jnp.ones(()),))
    linear = -jnp.vdot(slope, at_zero) / jnp.vdot(slope, slope)

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
