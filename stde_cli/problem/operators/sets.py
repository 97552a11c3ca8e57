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
    keys = jax.random.split(key, times)
    draws = [draw_within(span, sampler, batch, dim, sizes=sizes, key=k) for k in keys]
    shuffled = draws[:1] + [
        jax.tree.map(lambda leaf, k=k: jax.random.permutation(jax.random.fold_in(k, 0), leaf), d)
        for k, d in zip(keys[1:], draws[1:], strict=True)
    ]
    directions = one_by_one(*shuffled)
    sets = draws[0].weights.size
    return directions, sets ** (times - 1) * jnp.prod(directions.weights, axis=1)
