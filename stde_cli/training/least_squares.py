"""Linear least squares by conjugate gradients, with nothing but products by J and its transpose."""

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int, PyTree

from stde_cli.system.types import PRNGKey, Scalar

Unknowns = TypeVar("Unknowns")
_PROBES = 4
"""Random signs for the columns' lengths, which need be right to a factor of two or so."""
_Carry: TypeAlias = tuple[Int[Array, ""], Any, PyTree, Any, Scalar]
"""Iterations done, the solution so far, residuals left, next step's direction, slope's square."""


def gauss_newton(
    residuals: Callable[[Unknowns], PyTree],
    at: Unknowns,
    iterations: int,
    *,
    tolerance: float = 1e-3,
    key: PRNGKey,
) -> Unknowns:
    """One step of Gauss-Newton from `at`: the least squares solution of the linearised residuals.

    CGLS (Hestenes and Stiefel 1952; Bjorck, "Numerical Methods for Least Squares Problems", 1996,
    algorithm 7.4.1) in unknowns scaled to columns of length one. Ended after `iterations`, or where
    the residuals are all but orthogonal to the columns: |J^T r|^2 below `tolerance` |r|^2. That
    regularises: directions that the residuals hardly see stay as they are.
    """
    r, forward = jax.linearize(residuals, at)
    transposed = jax.linear_transpose(forward, at)
    scales = _scales(lambda v: transposed(v)[0], r, key=key)

    def apply(y: Unknowns) -> PyTree:
        return forward(jax.tree.map(jnp.multiply, scales, y))

    def apply_transposed(v: PyTree) -> Unknowns:
        return jax.tree.map(jnp.multiply, scales, transposed(v)[0])

    left = jax.tree.map(jnp.negative, r)
    slope = apply_transposed(left)

    def unfinished(carry: _Carry) -> Bool[Array, ""]:
        done, _, left, _, square = carry
        return (done < iterations) & (square > tolerance * _dot(left, left))

    def iterate(carry: _Carry) -> _Carry:
        done, y, left, direction, square = carry
        image = apply(direction)
        length = _over(square, _dot(image, image))
        y = _plus(y, length, direction)
        left = _plus(left, -length, image)
        slope = apply_transposed(left)
        next_square = _dot(slope, slope)
        direction = _plus(slope, _over(next_square, square), direction)
        return done + 1, y, left, direction, next_square

    start = jnp.zeros((), int), jax.tree.map(jnp.zeros_like, slope), left, slope, _dot(slope, slope)
    y = lax.while_loop(unfinished, iterate, start)[1]
    return jax.tree.map(lambda a, s, b: a + s * b, at, scales, y)


def _scales(transposed: Callable[[PyTree], Unknowns], r: PyTree, *, key: PRNGKey) -> Unknowns:
    """One over the lengths of the columns, alike along the last axis of a matrix of unknowns.

    E (J^T e)_k^2 is the square of column k for random signs e (Hutchinson 1990).
    """
    leaves, structure = jax.tree.flatten(r)

    def squares(key: PRNGKey) -> Unknowns:
        keys = jax.random.split(key, len(leaves))
        signs = [
            jax.random.rademacher(k, leaf.shape, leaf.dtype)
            for k, leaf in zip(keys, leaves, strict=True)
        ]
        return jax.tree.map(jnp.square, transposed(jax.tree.unflatten(structure, signs)))

    drawn = lax.map(squares, jax.random.split(key, _PROBES))
    mean = jax.tree.map(lambda each: jnp.mean(each, axis=0), drawn)

    def inverse_length(square: Array) -> Array:
        alike = jnp.mean(square, axis=-1, keepdims=True) if square.ndim > 1 else square
        return jnp.broadcast_to(jnp.where(alike > 0, lax.rsqrt(alike), 0.0), square.shape)

    return jax.tree.map(inverse_length, mean)


def _dot(a: PyTree, b: PyTree) -> Scalar:
    return sum(jax.tree.leaves(jax.tree.map(jnp.vdot, a, b)), jnp.zeros(()))


def _plus(a: Unknowns, factor: Scalar, b: Unknowns) -> Unknowns:
    return jax.tree.map(lambda x, y: x + factor * y, a, b)


def _over(a: Scalar, b: Scalar) -> Scalar:
    """a/b, and 0 where there is nothing left to solve for."""
    return jnp.where(b > 0, a / b, 0.0)
