from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from stde_cli.autodiff.directions import AbstractDirections
from stde_cli.system.ranges import Count, Depth
from stde_cli.system.types import Point, PRNGKey, RestrictedField, Scalar, ScalarField

Activation = Literal["tanh", "sin", "gelu", "silu", "softplus"]


def _activation(name: Activation) -> Callable[[jax.Array], jax.Array]:
    return jnp.sin if name == "sin" else getattr(jax.nn, name)


def _linear(in_features: int, out_features: int | Literal["scalar"], key: PRNGKey) -> eqx.nn.Linear:
    """An affine layer with LeCun normal weights (variance 1/in_features) and zero biases."""
    # The layer's own numbers are not drawn: the key is for ours.
    layer = eqx.filter_eval_shape(eqx.nn.Linear, in_features, out_features, key=key)
    initialise = jax.nn.initializers.lecun_normal(in_axis=-1, out_axis=-2)
    parameters = initialise(key, layer.weight.shape), jnp.zeros(layer.weight.shape[0])
    return eqx.tree_at(lambda linear: (linear.weight, linear.bias), layer, parameters)


class MLP(eqx.Module):
    """Affine maps with an activation between them; `depth` counts the affine maps.

    The paper's network has depth 4, width 128 and tanh ([STDE] section 5.1).

    Restricted, the first layer's pre-activation W x + b is one product a point and V^T W^T one
    gather a step; the rest of the network never sees dim.
    """

    first: eqx.nn.Linear
    hidden: tuple[eqx.nn.Linear, ...]
    last: eqx.nn.Linear
    activation: Activation = eqx.field(static=True)

    def __init__(
        self,
        dim: int,
        *,
        width: Count = 128,
        depth: Depth = 4,
        activation: Activation = "tanh",
        key: PRNGKey,
    ):
        keys = jax.random.split(key, depth)
        self.first = _linear(dim, width, keys[0])
        self.hidden = tuple(_linear(width, width, k) for k in keys[1:-1])
        self.last = _linear(width, "scalar", keys[-1])
        self.activation = activation

    def silenced(self) -> "MLP":
        """The same with a last layer of zeros."""
        return eqx.tree_at(lambda m: m.last.weight, self, 0 * self.last.weight)

    def __call__(self, x: Point) -> Scalar:
        return self._trunk(self.first(x))

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        origin, slopes = self.first(x), directions.contract(self.first.weight)
        return lambda s: self._trunk(origin + s @ slopes)

    def _trunk(self, z: Float[Array, " width"]) -> Scalar:
        activate = _activation(self.activation)
        for layer in self.hidden:
            z = layer(activate(z))
        return self.last(activate(z))


def silenced(network: ScalarField) -> ScalarField:
    """The same network, whose MLPs are zero everywhere until they are trained."""

    def is_mlp(node: PyTree) -> bool:
        return isinstance(node, MLP)

    return jax.tree.map(lambda n: n.silenced() if is_mlp(n) else n, network, is_leaf=is_mlp)
