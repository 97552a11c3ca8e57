"""Sets of independent directions, for sums over several coordinates."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stde_cli.autodiff.directions import AbstractDirections, AbstractSampler, one_by_one
from stde_cli.problem.operators.base import Span, draw_within
from stde_cli.system.types import PRNGKey


def independent_sets(
    span: Span,
    sampler: AbstractSampler,
    batch: int,
    dim: int,
    *,
    times: int,
    sizes: Float[Array, " span"] | None = None,
    key: PRNGKey,
) -> tuple[AbstractDirections, Float[Array, " sets"]]:
    """Sets of `times` directions, with weights W_k: E sum_k W_k f(set k) = sum of f over all sets.

    Every draw after the first is put in random order: its k-th member is then any of its members
    with probability 1/r, whatever the strata, and W_k = r^(times - 1) times the weights' product.
    """

    def drawn(key: PRNGKey) -> AbstractDirections:
        return draw_within(span, sampler, batch, dim, sizes=sizes, key=key)

    def shuffled(key: PRNGKey) -> AbstractDirections:
        draw_key, order_key = jax.random.split(key)
        return jax.tree.map(lambda leaf: jax.random.permutation(order_key, leaf), drawn(draw_key))

    first, *others = jax.random.split(key, times)
    directions = one_by_one(drawn(first), *map(shuffled, others))
    sets = len(directions.weights)
    return directions, sets ** (times - 1) * jnp.prod(directions.weights, axis=1)
