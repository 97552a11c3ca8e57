"""Values of radial problems, by a spectral method in the coordinates of the heat kernel.

The value at (S, x) depends on u(s, X) with X = x + sqrt(2 a tau) xi, tau = S - s, xi ~ N(0, I). In
the coordinates xi the heat equation is diagonal: with theta = -log(tau / S),

    dv/dtheta = L v + tau F,

where L has the eigenvalues 0, -1/2, -1, ... and the Hermite and generalised Laguerre polynomials of
`quadrature.py` as eigenfunctions, orthonormal under the distribution of X. At theta = infinity only
the constant is left, and it is the value. What u does where X hardly ever is costs nothing, so that
some tens of polynomials are enough at any dimension.

A problem is radial if its data and its equation depend on |x| alone. About a point x that is not
the centre it has an axis along x and is radial across it: two coordinates. A drift k x leaves all
of this as it is, but for the variance of X.
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
from stde_cli.problem.references.cylinder import SMALLEST_ROOT_OF_SOURCE, Cylinder
from stde_cli.problem.references.processes import Linear, process_of
from stde_cli.problem.references.structure import Structure
from stde_cli.system.errors import UsageError
from stde_cli.system.types import Scalar

_RESOLUTIONS = (12, 18, 27, 40, 60, 90, 130)
_FINE = 40
"""Coarser ones may be too coarse to stay finite themselves."""
_LAST = 18.0
"""Of theta: what is left then is linear in tau, and tau^2 below rounding."""
_TOLERANCE = 1e-11
_MOST_CALLS_A_POLYNOMIAL = 300
"""Of the right-hand side. Stability asks for about 40, by the largest rate."""
_NUMBERS_AT_ONCE = 4_000_000
"""Coordinates of all the points that are held together."""


def radial(
    structure: Structure, *, error: float = 1e-8, between: Callable[[], None] = lambda: None
) -> tuple[float, float]:
    """The value, and its difference to that of a coarser resolution.

    Args:
        structure: of a problem that is radial, in float64.
        error: resolutions are refined until they differ by less, or as far as they go. Relative to
            a value above 1.
        between: called now and then; what it raises ends the computation.

    Raises:
        UsageError: the solution does not stay finite.
    """
    value, difference = math.nan, math.inf
    for n in _RESOLUTIONS:
        before, value = value, _solve(_Discretised(structure, n), between)
        difference = abs(value - before)
        settled = difference <= error * max(1.0, abs(value))
        if settled or (n >= _FINE and not math.isfinite(value)):
            break
    if not math.isfinite(difference):
        why = "the solution does not stay finite; does it blow up before the time wanted?"
        raise UsageError("pde.value_at", None, why)
    return value, max(difference, _TOLERANCE * max(1.0, abs(value)))


class _Discretised(eqx.Module):
    """The problem in n polynomials along each coordinate that it has."""

    problem: Parabolic
    grid: Cylinder
    a: float = eqx.field(static=True)
    k: float = eqx.field(static=True)
    """Of the drift k x."""
    uniform: bool = eqx.field(static=True)
    """Whether F is the same everywhere, given u and |grad u|."""

    def __init__(self, structure: Structure, n: int):
        found = process_of(structure)
        assert structure.isotropic is not None
        assert found is not None
        process, self.problem = found
        self.a, self.k = structure.isotropic, process.k if isinstance(process, Linear) else 0.0
        self.grid = Cylinder(np.asarray(self.problem.point), n)
        self.uniform = structure.uniform

    def start(self) -> Float[Array, "axis across"]:
        _, along, distance = self._nodes(jnp.asarray(self.problem.elapsed))

        def at(along: Scalar, distance: Scalar) -> Scalar:
            return self.problem.data(self.grid.point(along, distance))

        return self.grid.modes(_each(at, self.problem.point.size, along, distance))

    def change(
        self, theta: Scalar, modes: Float[Array, "axis across"]
    ) -> Float[Array, "axis across"]:
        """d modes / d theta."""
        tau = self.problem.elapsed * jnp.exp(-theta)
        s = self.problem.elapsed - tau
        variance, along, distance = self._nodes(tau)

        def at(along: Scalar, distance: Scalar, u: Scalar, p: Scalar, q: Scalar) -> Scalar:
            x = self.problem.point if self.uniform else self.grid.point(along, distance)
            velocities = self.problem.velocities(s, x)
            flow = velocities @ self.grid.unit * p + velocities @ self.grid.beside * q
            return self.problem.reaction(s, x, u, p**2 + q**2, flow)

        size = 1 if self.uniform else self.problem.point.size
        values = self.grid.values(modes), *self.grid.gradient(modes, variance)
        source = tau * _each(at, size, along, distance, *values)
        moved = self.grid.modes(source, SMALLEST_ROOT_OF_SOURCE)
        return moved - 2 * self.a * tau / variance * self.grid.rates * modes

    def _nodes(
        self, tau: Scalar
    ) -> tuple[Scalar, Float[Array, "axis across"], Float[Array, "axis across"]]:
        """The variance of X, and where the nodes are."""
        variance = 2 * self.a * tau
        if self.k:
            variance = Linear(self.k, math.sqrt(2 * self.a)).variance(tau)
        centre = jnp.exp(self.k * tau) * jnp.linalg.norm(self.problem.point)
        return variance, *self.grid.places(centre, variance)


def _each(
    function: Callable[..., Scalar], size: int, *values: Float[Array, "axis across"]
) -> Float[Array, "axis across"]:
    """The function at each node; where it handles `size` numbers and they are many, by and by."""
    flat = tuple(value.ravel() for value in values)
    batch = max(1, _NUMBERS_AT_ONCE // size)
    if batch >= flat[0].size:
        found = jax.vmap(function)(*flat)
    else:
        found = lax.map(lambda each: function(*each), flat, batch_size=batch)
    return found.reshape(values[0].shape)


@eqx.filter_jit
def _start(problem: _Discretised) -> Float[Array, "axis across"]:
    return problem.start()


@eqx.filter_jit
def _change(
    problem: _Discretised, theta: Scalar, modes: Float[Array, "axis across"]
) -> Float[Array, "axis across"]:
    return problem.change(theta, modes)


def _solve(problem: _Discretised, between: Callable[[], None]) -> float:
    """The value; not a finite number where the solution does not stay finite."""
    start = np.asarray(_start(problem))

    count = 0

    def change(theta: float, modes: Float[np.ndarray, " modes"]) -> Float[np.ndarray, " modes"]:
        nonlocal count
        between()
        count += 1
        found = np.asarray(
            _change(problem, jnp.asarray(theta), jnp.asarray(modes.reshape(start.shape)))
        )
        # Towards a blow-up steps get shorter and shorter.
        if not np.isfinite(found).all() or count > _MOST_CALLS_A_POLYNOMIAL * max(start.shape):
            raise FloatingPointError
        return found.ravel()

    # Imported where it is needed, as in `quadrature`.
    from scipy.integrate import solve_ivp

    scale = max(1e-300, float(np.abs(start).max()))
    try:
        found = solve_ivp(
            change,
            (0.0, _LAST),
            start.ravel(),
            method="DOP853",
            rtol=_TOLERANCE,
            atol=_TOLERANCE * scale,
        )
        if not found.success:
            return math.nan
        # The constant decays at the rate 0: its change is what tau F brings to the end.
        return float(found.y[0, -1] + change(_LAST, found.y[:, -1])[0])
    except FloatingPointError:
        return math.nan
