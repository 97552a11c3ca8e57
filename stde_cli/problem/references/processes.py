"""Diffusions whose distribution at any time is known: paths need no discretisation."""

import math
from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stde_cli.problem.parabolic import Parabolic
from stde_cli.problem.references.structure import Structure
from stde_cli.system.types import Point, Scalar


class AbstractProcess(eqx.Module):
    """A Markov process, the same at all times."""

    @abstractmethod
    def after(self, x: Point, tau: Scalar, normal: Point) -> Point:
        """Where it is `tau` after it was at x; `normal` are independent normal numbers."""


class Brownian(AbstractProcess):
    """dX = b dt + sigma dW, with b and sigma constant: X ~ N(x + b tau, tau sigma sigma^T)."""

    sigma: Float[Array, ""] | Float[Array, " dim"] | Float[Array, "dim dim"]
    b: Float[Array, ""] | Float[Array, " dim"]

    def after(self, x: Point, tau: Scalar, normal: Point) -> Point:
        return x + self.b * tau + jnp.sqrt(tau) * _times(self.sigma, normal)


class Linear(AbstractProcess):
    """dX = k X dt + sigma dW, with numbers k and sigma: an Ornstein-Uhlenbeck process if k < 0."""

    k: float
    sigma: float

    def after(self, x: Point, tau: Scalar, normal: Point) -> Point:
        return jnp.exp(self.k * tau) * x + jnp.sqrt(self.variance(tau)) * normal

    def variance(self, tau: Scalar) -> Scalar:
        """Of each coordinate."""
        return self.sigma**2 * jnp.expm1(2 * self.k * tau) / (2 * self.k)


class Geometric(AbstractProcess):
    """dX_i = X_i (mu_i dt + (sigma dW)_i): the logarithms of X are a Brownian motion."""

    sigma: Float[Array, " dim"] | Float[Array, "dim dim"]
    mu: Float[Array, ""] | Float[Array, " dim"]

    def after(self, x: Point, tau: Scalar, normal: Point) -> Point:
        squares = jnp.sum(self.sigma**2, axis=1) if self.sigma.ndim == 2 else self.sigma**2
        moved = jnp.sqrt(tau) * _times(self.sigma, normal)
        return x * jnp.exp((self.mu - squares / 2) * tau + moved)


def _times(sigma: Float[Array, "..."], normal: Point) -> Point:
    return sigma @ normal if sigma.ndim == 2 else sigma * normal


def process_of(structure: Structure) -> tuple[AbstractProcess, Parabolic] | None:
    """The diffusion of a problem, and the problem less the drift that is in it; None: of no kind.

    A drift that goes with none of the kinds stays in the problem, where it is linear in grad u.
    """
    problem, tried = structure.problem, structure.tried
    a, b, x = tried.diffusion, tried.drift, tried.x
    fixed, ratios = structure.fixed_drift, b / x
    if structure.same(a):
        if fixed and structure.same(b):
            return Brownian(_root(2 * a[0]), b[0]), without_drift(problem)
        isotropic, k = structure.isotropic, float(ratios.ravel()[0])
        if fixed and isotropic is not None and np.allclose(ratios, k, rtol=1e-9):
            return Linear(k, math.sqrt(2 * isotropic)), without_drift(problem)
        return Brownian(_root(2 * a[0]), jnp.zeros(())), problem
    scaled = a / (x[:, :, None] * x[:, None, :] if a.ndim == 3 else x**2)
    if a.ndim < 2 or not structure.same(scaled):
        return None
    sigma = _root(2 * scaled[0])
    if fixed and structure.same(ratios):
        return Geometric(sigma, ratios[0]), without_drift(problem)
    return Geometric(sigma, jnp.zeros(())), problem


def without_drift(problem: Parabolic) -> Parabolic:
    """The problem less the part of F that is linear in derivatives along velocities."""

    def reaction(
        s: Scalar, x: Point, u: Scalar, square: Scalar, along: Float[Array, " velocities"]
    ) -> Scalar:
        zero = jnp.zeros_like(u)
        factors = jax.grad(problem.reaction, argnums=4)(s, x, zero, zero, jnp.zeros_like(along))
        return problem.reaction(s, x, u, square, along) - factors @ along

    return Parabolic(
        problem.point,
        problem.elapsed,
        problem.data,
        problem.diffusion,
        reaction,
        problem.velocities,
    )


def _root(matrix: Float[Array, "..."]) -> Float[Array, "..."]:
    """sigma with sigma sigma^T = matrix, where that may be of less than full rank."""
    if matrix.ndim < 2:
        return jnp.sqrt(matrix)
    values, vectors = jnp.linalg.eigh(matrix)
    return vectors * jnp.sqrt(jnp.maximum(values, 0.0))
