"""Values of linear problems as means over the diffusion X that goes with the equation.

From x at tau = 0, with C_tau the integral of c along the path (Kac 1949),

    w(S, x) = E[g(X_S) exp(C_S) + integral_0^S f(S - tau, X_tau) exp(C_tau) dtau].

Where c and f are constant, X_S alone is wanted, and that is exact; where the data are radial too,
the mean is an integral over one coordinate or two, by a Gauss rule.
"""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from stde_cli.problem.parabolic import Parabolic
from stde_cli.problem.references.cylinder import Cylinder
from stde_cli.problem.references.linear import Linear
from stde_cli.problem.references.sampling import mean
from stde_cli.problem.references.structure import Structure
from stde_cli.system.types import Point, Points, PRNGKey, Scalar, Values

_STEPS = 64
"""Of the trapezoidal rule along a path, where c or f varies; half as many tell its error."""
_NUMBERS_AT_ONCE = 2_000_000
"""Normal numbers of a batch of draws."""
_RESOLUTIONS = (20, 30, 45, 70, 100, 150)


def feynman_kac(
    structure: Structure,
    linear: Linear,
    *,
    error: float = 1e-4,
    seconds: float = 60.0,
    between: Callable[[], None] = lambda: None,
    key: PRNGKey,
) -> tuple[float, float]:
    """w at the point wanted and its error: a standard error, but by a Gauss rule a difference.

    Args:
        error: that is wanted, relative to a value above 1.
        seconds: the most that is spent on it.
        between: called now and then; what it raises ends the computation.
    """
    problem, tried = structure.problem, structure.tried
    c, f = _coefficients(linear, tried.s, tried.x)
    if not (structure.same(c) and structure.same(f)):
        return _over_paths(problem, linear, error, seconds, between, key)
    growth, gained = float(c[0]) * problem.elapsed, float(f[0]) * problem.elapsed
    factor = math.exp(growth)
    gained *= math.expm1(growth) / growth if growth else 1.0
    if structure.radial:
        found = _by_quadrature(problem, linear, error / factor, between)
    else:
        found = _over_ends(problem, linear, error / factor, seconds, between, key)
    return factor * found[0] + gained, factor * found[1]


@eqx.filter_jit
def _coefficients(linear: Linear, s: Values, x: Points) -> tuple[Values, Values]:
    return jax.vmap(linear.c)(s, x), jax.vmap(linear.f)(s, x)


def _by_quadrature(
    problem: Parabolic, linear: Linear, error: float, between: Callable[[], None]
) -> tuple[float, float]:
    zero, elapsed = jnp.zeros_like(problem.point), jnp.asarray(problem.elapsed)
    deviation = linear.process.after(zero, elapsed, jnp.ones_like(zero))[0]
    centre = linear.process.after(problem.point, elapsed, zero)
    value, difference = math.nan, math.inf
    for n in _RESOLUTIONS:
        between()
        grid = Cylinder(np.asarray(problem.point), n)
        along, distance = grid.places(jnp.linalg.norm(centre), deviation**2)
        places = along.ravel(), distance.ravel()
        # One after another: points may be long.
        values = lax.map(lambda place, grid=grid: linear.data(grid.point(*place)), places)
        before, value = value, float(grid.modes(values.reshape(along.shape))[0, 0])
        difference = abs(value - before)
        if difference <= 1e-3 * error * max(1.0, abs(value)):
            break
    return value, max(difference, 1e-13 * abs(value))


def _over_ends(
    problem: Parabolic,
    linear: Linear,
    error: float,
    seconds: float,
    between: Callable[[], None],
    key: PRNGKey,
) -> tuple[float, float]:
    x, elapsed = problem.point, jnp.asarray(problem.elapsed)

    def pair(key: PRNGKey) -> Scalar:
        normal = jax.random.normal(key, x.shape)
        ends = [linear.process.after(x, elapsed, sign * normal) for sign in (1, -1)]
        return (linear.data(ends[0]) + linear.data(ends[1])) / 2

    return mean(_batch(pair, x.size), error=error, seconds=seconds, between=between, key=key)


def _over_paths(
    problem: Parabolic,
    linear: Linear,
    error: float,
    seconds: float,
    between: Callable[[], None],
    key: PRNGKey,
) -> tuple[float, float]:
    x, step = problem.point, problem.elapsed / _STEPS

    def along(path: Float[Array, "steps dim"], every: int) -> Scalar:
        """The functional of a path, by the trapezoidal rule over every second step, say."""
        taken = path[::every]
        s = jnp.linspace(problem.elapsed, 0.0, len(taken))
        rates = jax.vmap(linear.c)(s, taken)
        halves = (rates[1:] + rates[:-1]) * (every * step / 2)
        growth = jnp.exp(jnp.concatenate([jnp.zeros(1), jnp.cumsum(halves)]))
        gained = jax.vmap(linear.f)(s, taken) * growth
        integral = jnp.sum(gained[1:] + gained[:-1]) * (every * step / 2)
        return linear.data(taken[-1]) * growth[-1] + integral

    def both(key: PRNGKey) -> Float[Array, " 2"]:
        """Extrapolated, and the difference that this made."""
        normal = jax.random.normal(key, (_STEPS, x.size))

        def path(sign: float) -> Float[Array, "steps dim"]:
            def move(x: Point, normal: Point) -> tuple[Point, Point]:
                moved = linear.process.after(x, jnp.asarray(step), sign * normal)
                return moved, moved

            return jnp.concatenate([x[None], lax.scan(move, x, normal)[1]])

        fine = (along(path(1.0), 1) + along(path(-1.0), 1)) / 2
        coarse = (along(path(1.0), 2) + along(path(-1.0), 2)) / 2
        return jnp.stack([fine + (fine - coarse) / 3, (fine - coarse) / 3])

    batch = _batch(both, _STEPS * x.size)
    value, spread = mean(
        lambda key: batch(key)[:, 0], error=error, seconds=seconds, between=between, key=key
    )
    # The rule is of second order: what extrapolation leaves is well below what it changed.
    return value, math.hypot(spread, abs(float(jnp.mean(batch(key)[:, 1]))) / 4)


def _batch(draw: Callable[[PRNGKey], Array], size: int) -> Callable[[PRNGKey], Array]:
    """Many independent draws, each of which takes `size` normal numbers."""
    count = max(2, _NUMBERS_AT_ONCE // size)
    return eqx.filter_jit(lambda key: jax.vmap(draw)(jax.random.split(key, count)))
