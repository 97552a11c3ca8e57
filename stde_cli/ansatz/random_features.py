"""Sums of ridge functions whose insides are drawn once: only their factors are fitted."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from stde_cli.ansatz.periodic import Embedded, Embedding
from stde_cli.autodiff.directions import AbstractDirections
from stde_cli.problem.operators import Triple
from stde_cli.system.types import Point, Points, PRNGKey, RestrictedField, Scalar


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

    def mixed_derivatives(self, points: Points, among: range) -> Float[Array, "among among"]:
        """The root mean square over the points of each second derivative in the inputs `among`."""
        weights = self.weights[:, among.start : among.stop]

        def squares(x: Point) -> Float[Array, "among among"]:
            value = jnp.tanh(self.inside(x))
            curvature = self.readout * -2 * value * (1 - value**2)
            return ((weights.T * curvature) @ weights) ** 2

        return jnp.sqrt(jnp.mean(jax.vmap(squares)(points), axis=0))

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
    """What is random in features, whatever they see and vary by: each is zero at its centre."""

    directions: Float[Array, "features inputs"]
    """In units of the inputs' standard deviations."""
    centres: Float[Array, "features inputs"]
    order: Float[Array, "features coordinates"]
    """In which a feature takes coordinates of the family: first those of the largest numbers."""
    family: range = eqx.field(static=True)
    """Inputs of which a feature may see a few only; it sees all others."""
    each: int = eqx.field(static=True)

    def __init__(
        self,
        centres: Float[Array, "features inputs"],
        spread: Float[Array, " inputs"] | float,
        *,
        family: range,
        each: int = 1,
        key: PRNGKey,
    ):
        """
        Args:
            centres: points of the domain.
            spread: the inputs' standard deviations.
            each: neighbouring inputs that count as one, being of one coordinate.
        """
        normal_key, order_key = jax.random.split(key)
        self.directions = jax.random.normal(normal_key, centres.shape) / spread
        self.centres, self.family, self.each = centres, family, each
        self.order = jax.random.uniform(order_key, (len(centres), len(family) // each))

    def seeing(
        self,
        together: Int[Array, ""] | int,
        coupled: Bool[Array, "coordinates coordinates"] | None = None,
    ) -> Bool[Array, "features inputs"]:
        """What each feature sees: `together` of the family, or as many as are coupled to its first.

        Args:
            coupled: which coordinates of the family may be seen beside one another; None: all.
        """
        inside = slice(self.family.start, self.family.stop)
        chosen = jax.vmap(partial(_some, together, coupled))(self.order)
        everything = jnp.ones(self.centres.shape, bool)
        return everything.at[:, inside].set(jnp.repeat(chosen, self.each, axis=1))

    def scaled(
        self, scales: Float[Array, " inputs"], seen: Bool[Array, "features inputs"]
    ) -> RandomFeatures:
        """The features that vary by `scales` over a standard deviation of each input; readout 0."""
        weights = jnp.where(seen, self.directions * scales, 0.0)
        offsets = -jnp.sum(weights * self.centres, axis=1)
        return RandomFeatures(weights, offsets, jnp.zeros_like(offsets))


def _some(
    together: Int[Array, ""] | int,
    coupled: Bool[Array, "coordinates coordinates"] | None,
    order: Float[Array, " coordinates"],
) -> Bool[Array, " coordinates"]:
    if not order.size:
        return jnp.zeros(0, bool)
    first = jnp.argmax(order)
    if coupled is not None:
        order = jnp.where(coupled[first], order, -1.0).at[first].set(2.0)
    before = jnp.argsort(jnp.argsort(-order))
    return (before < together) & (order >= 0)
