"""What a problem is, found by trying it at a few points and times."""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stde_cli.problem.parabolic import Diffusion, Parabolic
from stde_cli.system.types import Point, Points, Scalar, Values

_PLACES = 4
_TRIALS = ((0.6, 0.8, 1.0), (-1.2, 0.8, -1.0), (0.3, 2.0, 0.4))
"""Values of u, of |grad u|^2, and of derivatives along velocities."""


class Tried(NamedTuple):
    """What was found at each of some places: a leading axis of all that is here."""

    s: Scalar
    x: Point
    diffusion: Diffusion
    data: Scalar
    at_zero: Scalar
    """F where u and its derivatives are 0."""
    in_u: Scalar
    """The slope of F there in u."""
    in_square: Scalar
    """The slope of F there in |grad u|^2."""
    drift: Point
    """b of the part b . grad u of F, where u = 0."""
    drift_elsewhere: Point
    """The same where u is another."""
    values: Float[Array, " trials"]
    """F at other values."""
    affine: Float[Array, " trials"]
    """What F would be there if it were affine in u and its derivatives."""
    gradientless: Float[Array, " trials"]
    """What it would be if it were linear in derivatives along velocities, and held no gradient."""
    now: Scalar
    """F at the same time and values everywhere."""
    turned_data: Float[Array, " directions"]
    """Data at points as far from the origin, in other directions."""
    turned: Float[Array, " directions"]
    """F there, where u has the same slope away from the origin."""


class Structure:
    """A problem and what was found of it.

    Attributes:
        problem: the whole of it.
        tried: what was found of it.
    """

    def __init__(self, problem: Parabolic):
        self.problem = problem
        self.tried = _try(problem, *_places(problem))

    @functools.cached_property
    def fixed_drift(self) -> bool:
        """Whether the drift is the same whatever u is."""
        return _close(self.tried.drift, self.tried.drift_elsewhere)

    @functools.cached_property
    def isotropic(self) -> float | None:
        """a, where A is a times the identity, the same everywhere and at all times."""
        a = self.tried.diffusion
        if a.ndim == 3:
            identity = a[0, 0, 0] * jnp.eye(a.shape[-1])
            return float(a[0, 0, 0]) if _close(a, identity[None]) else None
        return float(a.ravel()[0]) if _close(a, a.ravel()[0]) else None

    @functools.cached_property
    def radial(self) -> bool:
        """Whether diffusion, F and data depend on |x| alone, as far as four directions tell."""
        data, reaction = self.tried.turned_data, self.tried.turned
        even = _close(data, data[:, :1]) and _close(reaction, reaction[:, :1])
        return self.isotropic is not None and even

    @functools.cached_property
    def uniform(self) -> bool:
        """Whether F depends on time, u and |grad u| alone."""
        return self._velocities == 0 and _close(self.tried.now, self.tried.now[0])

    @property
    def _velocities(self) -> int:
        s, x = self.tried.s[0], self.tried.x[0]
        return jax.eval_shape(self.problem.velocities, s, x).shape[0]

    @functools.cached_property
    def affine(self) -> bool:
        """Whether F is affine in u, |grad u|^2 and the derivatives along velocities."""
        return _close(self.tried.values, self.tried.affine)

    @functools.cached_property
    def gradientless(self) -> bool:
        """Whether there is no gradient in F but for a drift."""
        return self.fixed_drift and _close(self.tried.values, self.tried.gradientless)

    def same(self, values: Float[Array, "places ..."]) -> bool:
        """Whether something is the same at all places."""
        return _close(values, values[:1])


def _close(values: Any, others: Any) -> bool:
    return np.allclose(values, others, rtol=1e-9, atol=1e-11)


def _places(problem: Parabolic) -> tuple[Values, Points]:
    """Times, and points where the diffusion from the wanted one may be when it meets the data."""
    draws = np.random.default_rng(0).standard_normal((_PLACES, problem.point.size))
    zero = jnp.zeros((), problem.point.dtype)
    a = np.asarray(eqx.filter_jit(problem.diffusion)(zero, problem.point))
    deviation = np.sqrt(2 * problem.elapsed * np.maximum(np.diagonal(a) if a.ndim == 2 else a, 0))
    s = jnp.asarray(problem.elapsed * np.linspace(0.2, 0.9, _PLACES))
    return s, problem.point + deviation * draws


@eqx.filter_jit
def _try(problem: Parabolic, s: Values, x: Points) -> Tried:
    # One after another: a matrix of each, and points turned, would be many numbers together.
    return jax.lax.map(lambda place: _try_at(problem, place[0], place[1], s[0]), (s, x))


def _try_at(problem: Parabolic, s: Scalar, x: Point, now: Scalar) -> Tried:
    velocities = problem.velocities(s, x)
    zero, nothing = jnp.zeros_like(s), jnp.zeros(velocities.shape[0], x.dtype)

    def reaction(u: float | Scalar, square: float | Scalar, along: Array, at: Scalar = s) -> Scalar:
        return problem.reaction(at, x, u + zero, square + zero, along)

    slopes = jax.grad(reaction, argnums=(0, 1, 2))
    in_u, in_square, in_along = slopes(zero, zero, nothing)
    at_zero = reaction(zero, zero, nothing)
    radius = jnp.linalg.norm(x)
    directions = [x / radius, *_directions(x.size, x.dtype)]
    data = problem.data(x)
    # What holds near zero need not hold where u is: a rate may be capped. Data that are no numbers
    # are told where they are averaged.
    size = jnp.where(jnp.isfinite(data), data, 1.0)
    trials = [*_TRIALS, (size, 0.8, 1.0), (1.5 * size, 2.0, 0.4)]
    return Tried(
        s=s,
        x=x,
        diffusion=problem.diffusion(s, x),
        data=data,
        at_zero=at_zero,
        in_u=in_u,
        in_square=in_square,
        drift=in_along @ velocities,
        drift_elsewhere=slopes(zero + 0.5, zero, nothing)[2] @ velocities,
        values=jnp.stack([reaction(u, q, nothing + p) for u, q, p in trials]),
        affine=jnp.stack(
            [at_zero + in_u * u + in_square * q + jnp.sum(in_along) * p for u, q, p in trials]
        ),
        gradientless=jnp.stack(
            [reaction(u, 0.0, nothing) + jnp.sum(in_along) * p for u, _, p in trials]
        ),
        now=reaction(0.3, 0.2, nothing + 0.1, now),
        turned_data=jnp.stack([problem.data(radius * d) for d in directions]),
        turned=jnp.stack(
            [problem.of_gradient(s, radius * d, zero + 0.3, 0.4 * d) for d in directions]
        ),
    )


def _directions(dim: int, dtype: Any) -> list[Point]:
    """An axis, another backwards, the diagonal, and one that is drawn."""
    first = jnp.zeros(dim, dtype).at[0].set(1.0)
    last = jnp.zeros(dim, dtype).at[dim - 1].set(-1.0)
    drawn = jax.random.normal(jax.random.key(1), (dim,), dtype)
    return [first, last, jnp.full(dim, dim**-0.5, dtype), drawn / jnp.linalg.norm(drawn)]
