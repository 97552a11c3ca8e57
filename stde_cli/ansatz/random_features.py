"""Sums of ridge functions whose insides are drawn once: only their factors are fitted."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from stde_cli.ansatz.periodic import Embedded, Embedding
from stde_cli.autodiff.directions import AbstractDirections
from stde_cli.problem.operators import Triple
from stde_cli.system.types import Point, PRNGKey, RestrictedField, Scalar


class RandomFeatures(eqx.Module):
    """sum_k readout[k] tanh(weights[k] . x + offsets[k]).

    Linear in `readout`, so that the best one for a linear equation is a least squares solution
    (Huang, Zhu, Siew, "Extreme learning machine", 2006; for equations Dong and Li 2021).
    """

    weights: Float[Array, "features dim"]
    offsets: Float[Array, " features"]
    readout: Float[Array, " features"]

    def __call__(self, x: Point) -> Scalar:
        return self.readout @ jnp.tanh(self.inside(x))

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        origin, slopes = self.inside(x), directions.contract(self.weights)
        return lambda s: self.readout @ jnp.tanh(origin + s @ slopes)

    def value_gradient_laplacian(self, x: Point, over: range) -> Triple:
        value = jnp.tanh(self.inside(x))
        slope = 1 - value**2
        weights = self.weights[:, over.start : over.stop]
        gradient = (self.readout * slope) @ weights
        laplacian = (self.readout * -2 * value * slope) @ jnp.sum(weights**2, axis=1)
        return self.readout @ value, gradient, laplacian

    def inside(self, x: Point) -> Float[Array, " features"]:
        return self.weights @ x + self.offsets


class PeriodicFeatures(eqx.Module):
    """Features of the sines and cosines of periodic coordinates."""

    features: RandomFeatures
    embedding: Embedding

    def __call__(self, x: Point) -> Scalar:
        return Embedded(self.features, self.embedding)(x)

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        return Embedded(self.features, self.embedding).restrict(x, directions)

    def value_gradient_laplacian(self, x: Point, over: range) -> Triple:
        weights, readout = self.features.weights, self.features.readout
        first, second = self.embedding.derivatives(x)
        inside = slice(over.start, over.stop)
        slopes, curvatures = (
            self.embedding.gathered((weights * factors).T)[inside] for factors in (first, second)
        )
        value = jnp.tanh(self.features.inside(self.embedding(x)))
        slope = 1 - value**2
        laplacian = (readout * -2 * value * slope) @ jnp.sum(slopes**2, axis=0)
        laplacian = laplacian + (readout * slope) @ jnp.sum(curvatures, axis=0)
        return readout @ value, slopes @ (readout * slope), laplacian


class Drawn(eqx.Module):
    """What is random in features, whatever their scales: each is zero at its centre."""

    directions: Float[Array, "features inputs"]
    """In units of the inputs' standard deviations; zero in what a feature does not see."""
    centres: Float[Array, "features inputs"]

    def __init__(
        self,
        centres: Float[Array, "features inputs"],
        spread: Float[Array, " inputs"] | float,
        *,
        family: range,
        together: int,
        inputs_each: int = 1,
        key: PRNGKey,
    ):
        """
        Args:
            centres: points of the domain.
            spread: the inputs' standard deviations.
            family: inputs of which a feature sees `together`, and all others beside them.
            inputs_each: neighbouring inputs that count as one, being of one coordinate.
        """
        normal_key, seen_key = jax.random.split(key)
        normal = jax.random.normal(normal_key, centres.shape)
        seen = jax.vmap(partial(_some, len(family) // inputs_each, together))(
            jax.random.split(seen_key, len(centres))
        )
        seen = jnp.repeat(seen, inputs_each, axis=1)
        seeing_few = normal.at[:, family.start : family.stop].multiply(seen)
        self.directions, self.centres = seeing_few / spread, centres

    def scaled(self, scales: Float[Array, " inputs"]) -> RandomFeatures:
        """The features that vary by `scales` over a standard deviation of each input; readout 0."""
        weights = self.directions * scales
        offsets = -jnp.sum(weights * self.centres, axis=1)
        return RandomFeatures(weights, offsets, jnp.zeros_like(offsets))


def _some(count: int, chosen: int, key: PRNGKey) -> Bool[Array, " count"]:
    return jax.random.permutation(key, jnp.arange(count) < chosen)
