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
    def spread(self, x: Point, elapsed: Scalar) -> Point:
        """The standard deviation of each coordinate after a time `elapsed` from x."""


class Brownian(AbstractProcess):
    """dX = volatility dW: X = x + volatility sqrt(elapsed) z."""

    volatility: Volatility

    def moved(self, x: Point, elapsed: Scalar, normals: Point) -> Point:
        return x + jnp.sqrt(elapsed) * _times(self.volatility, normals)

    def mean(self, x: Point, elapsed: Scalar) -> Point:
        return x

    def spread(self, x: Point, elapsed: Scalar) -> Point:
        return jnp.broadcast_to(jnp.sqrt(elapsed * _variance(self.volatility)), x.shape)


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

    def spread(self, x: Point, elapsed: Scalar) -> Point:
        # E X^2 = (E X)^2 exp(s elapsed).
        relative = jnp.sqrt(jnp.expm1(_variance(self.volatility) * elapsed))
        return jnp.abs(self.mean(x, elapsed)) * relative


def _times(volatility: Volatility, normals: Point) -> Point:
    return volatility @ normals if volatility.ndim == 2 else volatility * normals


def _variance(volatility: Volatility) -> Array:
    """Of each coordinate of the noise in a unit of time."""
    return jnp.sum(volatility**2, axis=1) if volatility.ndim == 2 else volatility**2
