"""Diffusions whose distribution at a given time is known, and from one time to a later one."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from stde_cli.system.types import Point, Scalar

Volatility = Float[Array, ""] | Float[Array, " dim"] | Float[Array, "dim dim"]
"""A number or one for each coordinate; or a matrix S of the noise S dW."""


class AbstractProcess(eqx.Module):
    """dX = drift(X) dtau + noise(X) dW, known in closed form."""

    @abstractmethod
    def moved(self, x: Point, elapsed: Scalar, normals: Point) -> Point:
        """X after a time `elapsed` from x, made of independent standard normal numbers."""

    @abstractmethod
    def mean(self, x: Point, elapsed: Scalar) -> Point: ...

    @abstractmethod
    def spread(self, x: Point, elapsed: Scalar, scatter: float = 0.0) -> Point:
        """The standard deviation of each coordinate after a time `elapsed` from x.

        From points scattered about x by so much in every coordinate.
        """


class Brownian(AbstractProcess):
    """dX = volatility dW: X = x + volatility sqrt(elapsed) z."""

    volatility: Volatility

    def moved(self, x: Point, elapsed: Scalar, normals: Point) -> Point:
        return x + jnp.sqrt(elapsed) * _times(self.volatility, normals)

    def mean(self, x: Point, elapsed: Scalar) -> Point:
        return x

    def spread(self, x: Point, elapsed: Scalar, scatter: float = 0.0) -> Point:
        variance = scatter**2 + elapsed * _variance(self.volatility)
        return jnp.broadcast_to(jnp.sqrt(variance), x.shape)


class OrnsteinUhlenbeck(AbstractProcess):
    """dX = -rate X dtau + volatility dW.

    X = x exp(-rate elapsed) + volatility sqrt((1 - exp(-2 rate elapsed))/(2 rate)) z (Uhlenbeck,
    Ornstein 1930).
    """

    volatility: Volatility
    rate: Float[Array, ""]

    def moved(self, x: Point, elapsed: Scalar, normals: Point) -> Point:
        noise = jnp.sqrt(self._noise(elapsed)) * _times(self.volatility, normals)
        return self.mean(x, elapsed) + noise

    def mean(self, x: Point, elapsed: Scalar) -> Point:
        return x * jnp.exp(-self.rate * elapsed)

    def spread(self, x: Point, elapsed: Scalar, scatter: float = 0.0) -> Point:
        variance = (scatter * jnp.exp(-self.rate * elapsed)) ** 2
        variance += self._noise(elapsed) * _variance(self.volatility)
        return jnp.broadcast_to(jnp.sqrt(variance), x.shape)

    def _noise(self, elapsed: Scalar) -> Scalar:
        """The variance of what dW alone gives."""
        return -jnp.expm1(-2 * self.rate * elapsed) / (2 * self.rate)


class GeometricBrownian(AbstractProcess):
    """dX_i = X_i (drift_i dtau + (volatility dW)_i).

    X_i = x_i exp((drift_i - s_i/2) elapsed + sqrt(elapsed) (volatility z)_i), s_i the variance of
    (volatility z)_i.
    """

    volatility: Volatility
    drift: Float[Array, ""] | Float[Array, " dim"]

    def moved(self, x: Point, elapsed: Scalar, normals: Point) -> Point:
        trend = (self.drift - _variance(self.volatility) / 2) * elapsed
        return x * jnp.exp(trend + jnp.sqrt(elapsed) * _times(self.volatility, normals))

    def mean(self, x: Point, elapsed: Scalar) -> Point:
        return x * jnp.exp(self.drift * elapsed)

    def spread(self, x: Point, elapsed: Scalar, scatter: float = 0.0) -> Point:
        # E X^2 = (x^2 + scatter^2) exp(2 drift elapsed) exp(s elapsed).
        growth = jnp.exp(self.drift * elapsed)
        noise = jnp.expm1(_variance(self.volatility) * elapsed)
        return growth * jnp.sqrt((x**2 + scatter**2) * noise + scatter**2)


def _times(volatility: Volatility, normals: Point) -> Point:
    return volatility @ normals if volatility.ndim == 2 else volatility * normals


def _variance(volatility: Volatility) -> Array:
    """Of each coordinate of the noise in a unit of time."""
    return jnp.sum(volatility**2, axis=1) if volatility.ndim == 2 else volatility**2
