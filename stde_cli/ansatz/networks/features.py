"""A network of a few functions of the point, in place of its coordinates."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from stde_cli.autodiff.directions import AbstractDirections
from stde_cli.autodiff.restriction import restrict
from stde_cli.problem.domains import AbstractDomain
from stde_cli.problem.operators import KnowsLaplacian, Triple
from stde_cli.system.types import Point, PRNGKey, RestrictedField, Scalar, ScalarField

_SAMPLES, _TOGETHER = 1024, 64
"""Points that tell the features' scales, and how many of them are there at once."""
_ALIKE = 1e-5
"""What a feature must vary by, once those before it are taken out: single precision has less."""


class Untrained(eqx.Module):
    """Numbers within a network that no optimizer changes."""

    values: Array


class OfFeatures(eqx.Module):
    """N(phi_1(x), ..., phi_k(x)), for k far below dim.

    The features are shifted and mixed linearly, so that over the domain's points they have mean 0,
    variance 1 and no correlation: |x|^2 and t, in many dimensions, are nearly functions of each
    other. A feature is mixed with those before it alone.

    By the chain rule gradient and Laplacian cost those of the features, and a Hessian of N in k
    arguments: they are known exactly, and nothing of them is sampled.

    Args:
        features: phi, each with its gradient and Laplacian.
        make_network: makes N from (k, key=).
        domain: where the points are.
    """

    network: ScalarField
    features: tuple[KnowsLaplacian, ...]
    mean: Untrained
    mixing: Untrained

    def __init__(
        self,
        features: tuple[KnowsLaplacian, ...],
        make_network: Callable[..., ScalarField],
        domain: AbstractDomain,
        *,
        key: PRNGKey,
    ):
        points_key, network_key = jax.random.split(key)
        self.features = features
        self.network = make_network(len(features), key=network_key)

        def sample(key: PRNGKey) -> Float[Array, "points k"]:
            return jax.vmap(self._values)(domain.sample_interior(_TOGETHER, key=key))

        keys = jax.random.split(points_key, _SAMPLES // _TOGETHER)
        found = jax.lax.map(sample, keys).reshape(_SAMPLES, len(features))
        mean = found.mean(axis=0)
        # By an orthogonal decomposition: a covariance would lose half the digits.
        upper = jnp.linalg.qr((found - mean) / _SAMPLES**0.5, mode="r")
        self.mean = Untrained(mean)
        self.mixing = Untrained(jnp.linalg.inv(upper.T))

    def __call__(self, x: Point) -> Scalar:
        return self._of(self._values(x))

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        along = [restrict(feature, x, directions) for feature in self.features]
        return lambda s: self._of(jnp.stack([g(s) for g in along]))

    def value_gradient_laplacian(self, x: Point, over: range) -> Triple:
        """In the coordinates `over`: Laplacian N = tr(J^T N'' J) + N' . Laplacian phi."""
        triples = [feature.value_gradient_laplacian(x, over) for feature in self.features]
        values, gradients, laplacians = (jnp.stack(part) for part in zip(*triples, strict=True))
        slopes, curvatures = jax.grad(self._of)(values), jax.hessian(self._of)(values)
        products = gradients @ gradients.T
        laplacian = jnp.sum(curvatures * products) + slopes @ laplacians
        return self._of(values), slopes @ gradients, laplacian

    def _values(self, x: Point) -> Float[Array, " k"]:
        return jnp.stack([feature(x) for feature in self.features])

    def arguments(self, x: Point) -> Float[Array, " k"]:
        """What the network is given."""
        return self._mixed(self._values(x))

    def _of(self, values: Float[Array, " k"]) -> Scalar:
        return self.network(self._mixed(values))

    def _mixed(self, values: Float[Array, " k"]) -> Float[Array, " k"]:
        return self.mixing.values @ (values - self.mean.values)


def redundant(
    features: Sequence[ScalarField], domain: AbstractDomain, *, key: PRNGKey
) -> int | None:
    """The first feature that is a constant, or a linear function of those before it.

    Mixed to be uncorrelated it would be rounding, made as large as the others. None where there is
    no such feature, or where only shapes are known.
    """

    def values(key: PRNGKey) -> Float[Array, " k"]:
        (x,) = domain.sample_interior(1, key=key)
        return jnp.stack([feature(x) for feature in features])

    keys = jax.random.split(key, 4 * len(features) + 16)
    found = eqx.filter_jit(lambda keys: jax.lax.map(values, keys))(keys)
    if isinstance(found, Tracer):
        return None
    table = np.asarray(found, float)
    centred = table - table.mean(axis=0)
    sizes, varying = np.linalg.norm(table, axis=0), np.linalg.norm(centred, axis=0)
    own = np.abs(np.diagonal(np.linalg.qr(centred, mode="r")))
    (places,) = np.nonzero((varying <= _ALIKE / 10 * sizes) | (own <= _ALIKE * varying))
    return int(places[0]) if places.size else None
