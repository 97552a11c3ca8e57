"""Values of semilinear problems by full-history multilevel Picard iteration.

With X the diffusion from x, R in (0, s), and G = F - c u for a number c, the fixed point of

    u(s, x) = E[exp(c s) g(X_s)] + E[integral_0^s exp(c tau) G(u)(s - tau, X_tau) dtau]

is approximated by U_n, made of M^n draws of the first mean and, for the second, of M^(n - l) draws
of the difference of G at U_l and at U_(l-1), l < n, each with draws of its own (Hutzenthaler,
Jentzen, Kruse, Nguyen, von Wurstemberger 2020, arXiv 1807.01212). The cost grows linearly with the
dimension.

c takes the linear part out of G, which makes the iteration contract faster. The draws of one depth
are held together: all the points at which U_k is wanted are one array, for k = n, n - 1, ..., 1.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stde_cli.problem.parabolic import Parabolic
from stde_cli.problem.references.processes import AbstractProcess, process_of
from stde_cli.problem.references.sampling import mean
from stde_cli.problem.references.structure import Structure
from stde_cli.system.errors import UsageError
from stde_cli.system.resources import available_host_bytes
from stde_cli.system.types import Point, Points, PRNGKey, Scalar, Values

_BASIS = 4
"""M: 2 gives deeper levels more noise than they take away, and larger ones cost more a level."""
_DEEPEST = 8
_NUMBERS_AT_ONCE = 8_000_000
"""Coordinates of all the points of a batch of repetitions, if one alone has not more."""
_BYTES = 24
"""Of a coordinate, while a batch is computed: measured."""
_REPETITIONS = 8
"""The least, for a standard error."""


def picard(
    structure: Structure,
    *,
    level: int | None = None,
    error: float = 1e-3,
    seconds: float = 60.0,
    between: Callable[[], None] = lambda: None,
    key: PRNGKey,
) -> tuple[float, float]:
    """The value at the highest level taken, and its error.

    The error is the standard error of independent repetitions, and what the last two levels differ
    by times the factor by which such differences shrink: an estimate of the bias.

    Args:
        level: n; None: as high as `error` asks for and `seconds` allow.
        error: that is wanted, relative to a value above 1.
        seconds: the most that is spent on it, as measured at lower levels.
        between: called now and then; what it raises ends the computation.

    Raises:
        UsageError: `level` takes more memory or time than there is.
    """
    started, dim = time.perf_counter(), structure.problem.point.size
    iteration = _Iteration(structure)
    if level is not None:
        _check_memory(level, dim)
    found, cost = [(iteration.first, math.inf)], math.nan
    for n in range(1, (level or _DEEPEST) + 1):
        left = seconds - (time.perf_counter() - started)
        needed = _REPETITIONS * points(n) * cost
        if n > 2 and needed > left:
            if level is None:
                break
            why = f"takes about {needed:.0f} s more after level {n - 1}, {left:.0f} s are left"
            raise UsageError("reference.level", level, why, "lower it, or give reference.seconds")
        if level is None and n > 2 and not _fits(n, dim):
            break
        value, spread, cost = iteration.mean(
            n, 0.7 * error, left, between, jax.random.fold_in(key, n)
        )
        found.append((value, spread))
        if level is None and n > 2 and _error(found) <= error * max(1.0, abs(value)):
            break
    return found[-1][0], _error(found)


def _error(found: list[tuple[float, float]]) -> float:
    """Of the last, by the three last levels."""
    values = [value for value, _ in found]
    steps = np.abs(np.diff(values))
    # Each level takes away more than the one before, but noise may say otherwise.
    factor = float(np.clip(steps[-1] / max(steps[-2], 1e-300), 0.1, 1.0)) if len(steps) > 1 else 1.0
    return math.hypot(found[-1][1], float(steps[-1]) * factor)


def points(level: int) -> int:
    """How many points one repetition draws.

    Args:
        level: n.
    """
    wanted, total = {level: 1}, 0
    for k in range(level, 0, -1):
        here = wanted.get(k, 0)
        total += here * _BASIS**k
        for below in range(k):
            drawn = here * _BASIS ** (k - below)
            total += drawn
            wanted[below] = wanted.get(below, 0) + drawn
            wanted[below - 1] = wanted.get(below - 1, 0) + drawn
    return total


def _fits(level: int, dim: int) -> bool:
    free = available_host_bytes()
    return free is None or points(level) * dim * _BYTES < free / 2


def _check_memory(level: int, dim: int) -> None:
    if not _fits(level, dim):
        free, needed = available_host_bytes() or 0, points(level) * dim * _BYTES
        why = f"takes {needed / 1e9:.3g} GB, half of {free / 1e9:.1f} GB may be used"
        raise UsageError("reference.level", level, why, "lower it")


class _Iteration(eqx.Module):
    """U_n for a problem."""

    problem: Parabolic
    process: AbstractProcess
    c: float = eqx.field(static=True)
    first: float = eqx.field(static=True)
    """U_0."""

    def __init__(self, structure: Structure):
        found, tried = process_of(structure), structure.tried
        if found is None or found[1] is structure.problem or not structure.gradientless:
            what = "a diffusion of" if found is None else "the gradient of u in"
            why = f"it does not know {what} this equation"
            raise UsageError("reference.method", "picard", why, "it is for u_t = A u + F(t, x, u)")
        self.process, self.problem = found
        self.first = float(np.median(tried.data))
        self.c = float(_mean_slope(self.problem, tried.s[0], self.first))

    def mean(
        self,
        n: int,
        error: float,
        seconds: float,
        between: Callable[[], None],
        key: PRNGKey,
    ) -> tuple[float, float, float]:
        """Of U_n at the wanted point, its standard error, and the seconds that a point took."""
        size = points(n)
        count = max(1, min(1000, _NUMBERS_AT_ONCE // (size * self.problem.point.size)))
        # Compiling is no part of what a point takes.
        _repeated(self, n, count, key).block_until_ready()
        started, batches = time.perf_counter(), 0

        def draw(key: PRNGKey) -> Values:
            nonlocal batches
            batches += 1
            return _repeated(self, n, count, key)

        least = -(-_REPETITIONS // count)
        value, spread = mean(
            draw, error=error, seconds=seconds, between=between, key=key, least=least
        )
        return value, spread, (time.perf_counter() - started) / (batches * count * size)

    def draw(self, n: int, repetitions: int, key: PRNGKey) -> Values:
        """Independent draws of U_n at the wanted point."""
        keys = iter(jax.random.split(key, n * (n + 3)))
        elapsed = jnp.full(repetitions, self.problem.elapsed)
        wanted = {n: [(elapsed, jnp.broadcast_to(self.problem.point, (repetitions, self.dim)))]}
        drawn: dict[int, list[_Drawn]] = {}
        averages: dict[int, Array] = {}
        for k in range(n, 0, -1):
            s, x = (jnp.concatenate(each) for each in zip(*wanted[k], strict=True))
            averages[k] = self._data(s, x, _BASIS**k, next(keys))
            drawn[k] = []
            for below in range(k):
                group, at = self._below(s, x, _BASIS ** (k - below), next(keys))
                # Where these are among the points of the two levels that are wanted there.
                starts = [sum(s.size for s, _ in wanted.get(j, [])) for j in (below, below - 1)]
                for j in (below, below - 1):
                    wanted.setdefault(j, []).append(at)
                drawn[k].append(_Drawn(group, *at, *starts))
        return self._gathered(n, averages, drawn)

    def _gathered(
        self, n: int, averages: dict[int, Array], drawn: dict[int, list["_Drawn"]]
    ) -> Values:
        """From the points to the values, level by level."""
        values: dict[int, Array] = {}
        for k in range(1, n + 1):
            total = averages[k]
            for below, group in enumerate(drawn[k]):
                count = group.s.size
                u = self._slice(values, below, group.start, count)
                change = self._source(group.s, group.x, u)
                if below:
                    u = self._slice(values, below - 1, group.start_before, count)
                    change -= self._source(group.s, group.x, u)
                total += jnp.mean(group.weights * change.reshape(group.weights.shape), axis=1)
            values[k] = total
        return values[n]

    def _slice(
        self, values: dict[int, Array], level: int, start: int, count: int
    ) -> Float[Array, " drawn"]:
        if level == 0:
            return jnp.full(count, self.first)
        return values[level][start : start + count]

    @property
    def dim(self) -> int:
        return self.problem.point.size

    def _data(self, s: Values, x: Points, m: int, key: PRNGKey) -> Values:
        """The mean of exp(c s) g(X_s), of m draws each."""
        normal = self._normal(key, len(s), m)

        def one(s: Scalar, x: Point, normal: Points) -> Scalar:
            ends = jax.vmap(lambda each: self.problem.data(self.process.after(x, s, each)))
            return jnp.exp(self.c * s) * jnp.mean(ends(normal))

        return jax.vmap(one)(s, x, normal)

    def _below(
        self, s: Values, x: Points, m: int, key: PRNGKey
    ) -> tuple[Float[Array, "points m"], tuple[Float[Array, " drawn"], Float[Array, "drawn dim"]]]:
        """Weights s exp(c tau), and the points (s - tau, X_tau), of m draws each."""
        time_key, place_key = jax.random.split(key)
        tau = s[:, None] * jax.random.uniform(time_key, (len(s), m), s.dtype)
        moved = jax.vmap(jax.vmap(self.process.after, (None, 0, 0)))
        places = moved(x, tau, self._normal(place_key, len(s), m))
        weights = s[:, None] * jnp.exp(self.c * tau)
        return weights, ((s[:, None] - tau).ravel(), places.reshape(-1, self.dim))

    def _normal(self, key: PRNGKey, points: int, m: int) -> Float[Array, "points m dim"]:
        # Draws in single precision are as good, and take half the time.
        drawn = jax.random.normal(key, (points, m, self.dim), jnp.float32)
        return drawn.astype(self.problem.point.dtype)

    def _source(self, s: Values, x: Points, u: Values) -> Values:
        """F - c u."""
        return jax.vmap(self._reaction)(u, s, x) - self.c * u

    def _reaction(self, u: Scalar, s: Scalar, x: Point) -> Scalar:
        return _reaction(self.problem, u, s, x)


def _reaction(problem: Parabolic, u: Scalar, s: Scalar, x: Point) -> Scalar:
    nothing = jnp.zeros(problem.velocities(s, x).shape[0], x.dtype)
    return problem.reaction(s, x, u, jnp.zeros_like(u), nothing)


@eqx.filter_jit
def _mean_slope(problem: Parabolic, s: Scalar, u: float) -> Scalar:
    """Of F in u, at a value and at the data's where the value is wanted."""
    x = problem.point
    slope = jax.grad(lambda u: _reaction(problem, u, s, x))
    return (slope(jnp.asarray(u, x.dtype)) + slope(problem.data(x))) / 2


@eqx.filter_jit
def _repeated(iteration: _Iteration, n: int, count: int, key: PRNGKey) -> Values:
    return iteration.draw(n, count, key)


class _Drawn(NamedTuple):
    """Draws for the points of one level at a level below it: m of them each."""

    weights: Float[Array, "points m"]
    s: Values
    x: Points
    start: int
    """Where they begin among the points of the level below that are wanted."""
    start_before: int
    """The same of the level before that."""
