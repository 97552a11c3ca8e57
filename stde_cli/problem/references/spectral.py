"""u in time and on a circle: Fourier modes and an exponential integrator."""

from collections.abc import Callable
from math import pi
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float

from stde_cli.problem.operators import partial_sum
from stde_cli.problem.pdes import AbstractPDE
from stde_cli.problem.tabulated import Axis, Tabulated
from stde_cli.system.errors import UsageError
from stde_cli.system.types import Scalar

VERSION = 1
"""What an earlier one found is found anew."""
_POINTS = 256, 8192
"""In x, of the first attempt and of the last."""
_STEPS = 1024, 65536
"""Over the whole range of time, likewise."""
_LAST = 0.1
"""Of the modes kept: what their part of u is shows whether there are enough."""
_FINER_DATA = 16
"""The data's coefficients are of so many times more points: a kink has small ones of all orders."""
_PANEL = 16
"""Chebyshev points in time of a panel, both ends among them."""
_PANELS, _HALVINGS = 16, 8
"""Of equal width; the first of them is halved so many times towards the data."""
_STENCIL = 16
"""Points in x of a polynomial between them."""
_CIRCLE = 64
"""Points of the contours of ETDRK4's coefficients."""
_USELESS = 1e-3
_CONSTANT = 1e-9
"""How nearly constant a coefficient of the equation is: in double precision all digits."""

Coefficients: TypeAlias = Complex[Array, " modes"]
Rows: TypeAlias = Complex[np.ndarray, "times _"]
Times: TypeAlias = Float[np.ndarray, " times"]


class Spectral(NamedTuple):
    """u on a grid, as numbers of double precision.

    Attributes:
        times: of panels, in order.
        grid: in x, of one period.
        length: of the period.
        time_first: whether t comes before x in a point.
        error: of the values, relative, root mean square over t and x: by which they differ from
            those of a coarser attempt, or what is in the last modes, if that is more.
    """

    times: Times
    grid: Float[np.ndarray, " grid"]
    values: Float[np.ndarray, "times grid"]
    length: float
    time_first: bool
    error: float

    def field(self) -> Tabulated:
        """u at any point, in the precision that JAX is set to."""
        axes = (
            Axis(jnp.asarray(self.times, float), _PANEL, panels=True),
            Axis(jnp.asarray(self.grid, float), _STENCIL, period=self.length),
        )
        values = jnp.asarray(self.values, float)
        if not self.time_first:
            axes, values = axes[::-1], values.T
        return Tabulated(axes, values, "a spectral solution", self.error)


class Evolution(NamedTuple):
    """u_t = sum_k linear[k] d^k u/dx^k + rest(t, x, u and its derivatives).

    Attributes:
        linear: constant coefficients.
        orders: of the derivatives that `rest` holds.
        rest: of t, x and the derivatives of order 0, 1, ...; zero where the equation is linear and
            has no source.
        data: u at the lower end of time, of x.
    """

    linear: Float[Array, " orders"]
    orders: tuple[int, ...]
    rest: Callable[[Scalar, Scalar, Float[Array, " orders"]], Scalar]
    data: Callable[[Scalar], Scalar]
    times: tuple[float, float]
    low: float
    length: float
    time_first: bool


def evolution(pde: AbstractPDE) -> Evolution:
    """The equation as it is integrated, read from its own residual.

    Raises:
        UsageError: it is none of first order in t, with one periodic coordinate beside.
    """

    def refused(why: str) -> UsageError:
        mend = "a spectral solution is of u_t = ... in t and one periodic coordinate"
        return UsageError("pde.solution.spectral", None, why, mend)

    time, circles = pde.time, pde.domain.circles
    if time is None or not time.forward:
        raise refused("no initial values are given")
    if pde.domain.dim != 2 or len(circles) != 1 or circles[0].start == time.position:
        raise refused(
            f"the equation is in {', '.join(map(pde.layout.label, range(pde.domain.dim)))}"
        )
    t, x = time.position, circles[0].start
    sums = {name: partial_sum(operator) for name, operator in pde.operators.items()}
    found = {tuple(sorted(c)) for factors in sums.values() for c in factors or ()}
    with_time = [c for c in found if t in c]
    if None in sums.values() or with_time != [(t,)]:
        raise refused("it is not of first order in t")
    orders = 1 + max((len(c) for c in found if t not in c), default=0)

    def residual(at: Array, place: Array, derivatives: Array, rate: Array) -> Scalar:
        point = jnp.zeros(2).at[t].set(at).at[x].set(place)
        known: dict[str, Any] = {
            name: sum(f * (rate if t in c else derivatives[len(c)]) for c, f in (s or {}).items())
            for name, s in sums.items()
        }
        return pde.residual(point, derivatives[0], known)

    draws = np.random.default_rng(0)
    places = pde.domain.sample_interior(64, key=jax.random.key(0))
    trials = jnp.asarray(draws.standard_normal((len(places), orders + 1)))
    slope = jax.vmap(jax.grad(residual, argnums=3))
    factors = slope(places[:, t], places[:, x], trials[:, 1:], trials[:, 0])
    factor = factors[0]
    if not bool(jnp.all(jnp.abs(factors - factor) <= _CONSTANT * jnp.abs(factor))) or factor == 0:
        raise refused("the factor of u_t is not constant")

    def right(at: Array, place: Array, derivatives: Array) -> Scalar:
        return -residual(at, place, derivatives, jnp.zeros(())) / factor

    # At u = 0; of what is not the same everywhere the middle: the rest is integrated as it is.
    slopes = jax.vmap(jax.grad(right, argnums=2))
    still = jnp.zeros((len(places), orders))
    linear = jnp.median(slopes(places[:, t], places[:, x], still), axis=0)

    def rest(at: Array, place: Array, derivatives: Array) -> Scalar:
        return right(at, place, derivatives) - linear @ derivatives

    nonlinear = jax.vmap(jax.grad(rest, argnums=2))(places[:, t], places[:, x], trials[:, 1:])
    # One that is not a number, as where a root is of what is below zero, is held as well.
    held = ~(jnp.max(jnp.abs(nonlinear), axis=0) <= _CONSTANT * jnp.max(jnp.abs(linear)))

    def data(place: Scalar) -> Scalar:
        return time.data(jnp.zeros(2).at[t].set(time.given).at[x].set(place))

    return Evolution(
        linear,
        tuple(int(order) for order in np.flatnonzero(held)),
        rest,
        data,
        (time.lower, time.upper),
        circles[0].low,
        circles[0].length,
        t == 0,
    )


def spectral(
    pde: AbstractPDE, *, error: float = 1e-8, between: Callable[[], None] = lambda: None
) -> Spectral:
    """u on a grid in t and x, in double precision, which JAX has to be set to.

    Modes are doubled until the last of them are nearly zero, then steps until two attempts agree,
    the first of them also by other modes. The nonlinear part is dealiased by the
    two-thirds rule (Orszag 1971). Times are Chebyshev points of panels that are shorter towards
    the data, between which u is interpolated.

    Args:
        error: relative, in the root mean square over t and x.
        between: called between attempts; what it raises ends the computation.

    Raises:
        UsageError: the equation is of another kind, or attempts do not agree.
    """
    found = evolution(pde)
    times, points, steps = _times(*found.times), _POINTS[0], _STEPS[0]

    def solved(points: int, steps: int) -> Rows:
        between()
        return _solve(found, times, points, steps)

    while True:
        # What the rest says of derivatives limits the steps that are stable.
        steps = max(steps, points) if any(found.orders) else steps
        coarse = solved(points, steps)
        if _tail(coarse, times) <= error or points >= _POINTS[1]:
            break
        points *= 2
    points = 3 * points // 2
    while True:
        steps *= 2
        fine = solved(points, steps)
        # Attempts of the same modes agree on what these leave out: it is in the last of them.
        reached = max(_difference(coarse, fine, times), _tail(fine, times))
        if reached <= error or steps >= _STEPS[1]:
            break
        coarse = fine
    if not reached <= max(error, _USELESS):
        why = f"by {points:,} points in x and {steps:,} steps it is known to {reached:.1e}"
        raise UsageError("pde.solution.spectral", None, why, "give another solution, or none")
    grid = found.low + found.length / points * np.arange(points)
    values = np.fft.irfft(fine, points)
    return Spectral(times, grid, values, found.length, found.time_first, reached)


def _times(lower: float, upper: float) -> Times:
    """Of all panels, in order, those that two of them share once."""
    width = (upper - lower) / _PANELS
    halved = width * 0.5 ** np.arange(_HALVINGS, 0, -1)
    edges = lower + np.concatenate([[0.0], halved, width * np.arange(1, _PANELS + 1)])
    shares = (1 - np.cos(pi * np.arange(1, _PANEL) / (_PANEL - 1))) / 2
    inside = edges[:-1, None] + np.diff(edges)[:, None] * shares
    inside[:, -1] = edges[1:]
    return np.concatenate([[lower], inside.ravel()])


def _tail(coefficients: Rows, times: Times) -> float:
    """The part of u that is in the last of the modes, relative."""
    kept = int(np.sum(_kept(2 * coefficients.shape[1] - 2)))
    return _ratio(coefficients[:, int((1 - _LAST) * kept) :], coefficients, times)


def _difference(coarse: Rows, fine: Rows, times: Times) -> float:
    """Relative to the finer."""
    count = coarse.shape[1]
    # By transforms of more points coefficients are as many times larger.
    factor = (fine.shape[1] - 1) / (count - 1)
    padded = np.pad(factor * coarse, [(0, 0), (0, fine.shape[1] - count)])
    return _ratio(fine - padded, fine, times)


def _ratio(part: Rows, whole: Rows, times: Times) -> float:
    """Of root mean squares over t and x; infinite for what is not finite."""
    weights = np.gradient(times)
    squares = [weights @ np.sum(np.abs(each) ** 2, axis=1) for each in (part, whole)]
    ratio = np.sqrt(squares[0] / squares[1]) if squares[1] > 0 else np.sqrt(squares[0])
    return float(ratio) if np.isfinite(ratio) else np.inf


def _solve(problem: Evolution, times: Times, points: int, steps: int) -> Rows:
    """Fourier coefficients at these times, by so many points in x and steps or more."""
    finer = _FINER_DATA * points
    grid = problem.low + problem.length / finer * jnp.arange(finer)
    kept = _kept(points)
    first = jnp.fft.rfft(jax.vmap(problem.data)(grid))[: kept.size] * kept / _FINER_DATA
    gaps = np.diff(times)
    longest = (times[-1] - times[0]) / steps
    counts = np.maximum(1, np.ceil(gaps / longest - 1e-9)).astype(int)
    rows = _integrated(problem, points, first, (times[:-1], gaps, counts))
    return np.concatenate([np.asarray(first)[None], np.asarray(rows)])


def _kept(points: int) -> Float[Array, " modes"]:
    return (jnp.arange(points // 2 + 1) <= points // 3).astype(float)


def _integrated(
    problem: Evolution, points: int, first: Coefficients, gaps: tuple[np.ndarray, ...]
) -> Complex[Array, "times modes"]:
    """The coefficients at the end of each gap in time: when it starts, its width, and its steps."""
    kept = _kept(points)
    waves = 2j * pi / problem.length * jnp.arange(points // 2 + 1)
    powers = waves ** jnp.arange(problem.linear.size)[:, None]
    symbol = problem.linear @ powers
    grid = problem.low + problem.length / points * jnp.arange(points)
    at_points = jax.vmap(problem.rest, in_axes=(None, 0, 1))

    def rest(t: Scalar, u: Coefficients) -> Coefficients:
        derivatives = jnp.zeros((problem.linear.size, points))
        for order in problem.orders:
            derivatives = derivatives.at[order].set(jnp.fft.irfft(powers[order] * u, points))
        return kept * jnp.fft.rfft(at_points(t, grid, derivatives))

    def over_gap(u: Coefficients, gap: Any) -> tuple[Coefficients, Coefficients]:
        start, width, count = gap
        scheme = _etdrk4(symbol, width / count)

        def once(number: Array, u: Coefficients) -> Coefficients:
            return scheme(rest, start + number * width / count, u)

        u = lax.fori_loop(0, count, once, u)
        return u, u

    return jax.jit(lambda first, gaps: lax.scan(over_gap, first, gaps)[1])(first, gaps)


def _etdrk4(symbol: Coefficients, h: Scalar) -> Callable[..., Coefficients]:
    """A step of the exponential Runge-Kutta scheme of order 4.

    Cox and Matthews 2002; its coefficients as means over circles in the complex plane, by Kassam
    and Trefethen, "Fourth-order time-stepping for stiff PDEs" (SISC 2005).
    """
    around = jnp.exp(2j * pi * (jnp.arange(_CIRCLE) + 0.5) / _CIRCLE)
    z = h * symbol[:, None] + around
    e = jnp.exp(z)

    def mean(values: Array) -> Coefficients:
        return h * jnp.mean(values, axis=1)

    whole, half = jnp.exp(h * symbol), jnp.exp(h / 2 * symbol)
    to_half = mean((jnp.exp(z / 2) - 1) / z)
    first = mean((-4 - z + e * (4 - 3 * z + z**2)) / z**3)
    middle = mean((2 + z + e * (z - 2)) / z**3)
    last = mean((-4 - 3 * z - z**2 + e * (4 - z)) / z**3)

    def step(rest: Callable[..., Coefficients], t: Scalar, u: Coefficients) -> Coefficients:
        n = rest(t, u)
        a = half * u + to_half * n
        n_a = rest(t + h / 2, a)
        b = half * u + to_half * n_a
        n_b = rest(t + h / 2, b)
        c = half * a + to_half * (2 * n_b - n)
        n_c = rest(t + h, c)
        return whole * u + first * n + 2 * middle * (n_a + n_b) + last * n_c

    return step
