"""Restrict, then differentiate: the idea that everything rests on.

An operator at x is read along r directions V, with r far below d. So a field is never
differentiated on R^d: it is restricted to g(s) = u(x + V s) first, and derivatives are taken of g
at s = 0. All O(d) work is done once a point, in `restrict`.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool

from stde_cli.autodiff.directions import AbstractDirections
from stde_cli.system.types import Point, RestrictedField, Scalar, ScalarField

Rows = TypeVar("Rows")

_FEW_ROWS = 256
"""So many rows are summed at once in any case."""


@runtime_checkable
class Restrictable(Protocol):
    """A field that knows how to restrict itself cheaply."""

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField: ...


def restrict(field: ScalarField, x: Point, directions: AbstractDirections) -> RestrictedField:
    """g(s) = field(x + V s), by the field's own `restrict` where it has one.

    The fallback works for any callable, at O(directions x dim) a point.
    """
    if isinstance(field, Restrictable):
        return field.restrict(x, directions)
    return lambda s: field(directions.displace(x, s))


def sum_in_blocks(
    part: Callable[[Bool[Array, " rows"], Rows], Scalar], rows: Rows, directions: int
) -> Scalar:
    """part(rows) for a `part` that is a sum over rows, in as many blocks of rows as directions.

    What moves along every direction has an axis of directions beside that of a block: it holds no
    more numbers in all than the rows, or than `_FEW_ROWS` a direction where that is more. In a
    reverse pass the blocks are computed again.

    Args:
        part: the sum over rows that count, told as a mask: the last block is filled up.
        rows: arrays whose leading axis is that of the rows.
    """
    count = len(jax.tree.leaves(rows)[0])
    size = max(_FEW_ROWS, -(-count // directions))
    blocks = -(-count // size)
    if blocks <= 1:
        return part(jnp.ones(count, bool), rows)

    def in_blocks(leaf: Array) -> Array:
        # Filled up with what the last row has: any number could be where a row is undefined.
        padding = [(0, blocks * size - count), *[(0, 0)] * (leaf.ndim - 1)]
        return jnp.pad(leaf, padding, mode="edge").reshape(blocks, size, *leaf.shape[1:])

    def add(total: Scalar, block: tuple[Bool[Array, " rows"], Rows]) -> tuple[Scalar, None]:
        return total + part(*block), None

    counted = (jnp.arange(blocks * size) < count).reshape(blocks, size)
    found = jax.eval_shape(part, counted[0], jax.tree.map(lambda leaf: leaf[:size], rows))
    zero = jnp.zeros((), found.dtype)
    return lax.scan(jax.checkpoint(add), zero, (counted, jax.tree.map(in_blocks, rows)))[0]
