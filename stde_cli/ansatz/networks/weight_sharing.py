import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stde_cli.ansatz.networks.mlp import MLP, Activation
from stde_cli.autodiff.directions import AbstractDirections
from stde_cli.system.ranges import Count, Depth
from stde_cli.system.types import Point, PRNGKey, RestrictedField, Scalar


class WeightSharing(eqx.Module):
    """A one-channel convolution of filter and stride `block_size` before an MLP.

    The first layer of the MLP, nearly all of the parameters when dim is large, shrinks by the block
    size ([STDE] appendix E and table 10). Restricted, a coordinate moves its own block alone.

    Raises:
        ValueError: `block_size` does not divide dim.
    """

    window: Float[Array, " block"]
    bias: Float[Array, ""]
    mlp: MLP

    def __init__(
        self,
        dim: int,
        *,
        block_size: Count,
        width: Count = 128,
        depth: Depth = 4,
        activation: Activation = "tanh",
        key: PRNGKey,
    ):
        if dim % block_size:
            raise ValueError(f"block_size {block_size} does not divide dim {dim}")
        window_key, mlp_key = jax.random.split(key)
        # Variance 1/block_size keeps the blocks' variance that of the coordinates.
        self.window = jax.random.normal(window_key, (block_size,)) / jnp.sqrt(block_size)
        self.bias = jnp.zeros(())
        self.mlp = MLP(
            dim // block_size, width=width, depth=depth, activation=activation, key=mlp_key
        )

    def __call__(self, x: Point) -> Scalar:
        return self.mlp(self._blocks(x))

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        return self.mlp.restrict(self._blocks(x), directions.fold(self.window))

    def _blocks(self, x: Point) -> Float[Array, " blocks"]:
        return x.reshape(-1, self.window.size) @ self.window + self.bias
