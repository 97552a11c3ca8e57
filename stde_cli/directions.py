"""Directions along which an operator is read, and the distributions that they are drawn from.

Every set of directions v_1 ... v_r with weights w_1 ... w_r drawn here satisfies

    E[ sum_k w_k v_k v_k^T ] = I,

so that sum_k w_k D^2u(v_k, v_k) is an unbiased estimate of the Laplacian ([STDE] section 4.2;
Hutchinson 1990 for the dense kind). Directions are drawn once a step and shared by the batch.

Coordinate directions are r integers and r lengths: nothing of size r x d is ever formed for them.
"""

from abc import abstractmethod
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from stde_cli._types import Point, PRNGKey, Scalar


class AbstractDirections(eqx.Module):
    """r weighted vectors in R^d, the columns of V, and the products that `restrict` needs."""

    weights: eqx.AbstractVar[Float[Array, " directions"]]

    @abstractmethod
    def displace(self, x: Point, s: Float[Array, " directions"]) -> Point:
        """x + V s."""

    @abstractmethod
    def contract(self, matrix: Float[Array, "width dim"]) -> Float[Array, "directions width"]:
        """(matrix V)^T: how fast each row's product with the point moves along each direction."""

    @abstractmethod
    def dot(self, x: Point) -> Float[Array, " directions"]:
        """V^T x."""

    @abstractmethod
    def squared_length(self, s: Float[Array, " directions"]) -> Scalar:
        """|V s|^2."""

    @abstractmethod
    def scaled(self, factors: Float[Array, " directions"]) -> "AbstractDirections":
        """The same directions, the k-th made factors[k] times as long."""

    @abstractmethod
    def fold(self, window: Float[Array, " block"]) -> "AbstractDirections":
        """The images of the directions under z_m = sum_b window[b] x[m block + b]."""


class CoordinateDirections(AbstractDirections):
    """v_k = lengths[k] e_{indices[k]}; `distinct` says that no index occurs twice."""

    indices: Int[Array, " directions"]
    lengths: Float[Array, " directions"]
    weights: Float[Array, " directions"]
    distinct: bool = eqx.field(static=True)

    def displace(self, x: Point, s: Float[Array, " directions"]) -> Point:
        return x.at[self.indices].add(self.lengths * s)

    def contract(self, matrix: Float[Array, "width dim"]) -> Float[Array, "directions width"]:
        return matrix[:, self.indices].T * self.lengths[:, None]

    def dot(self, x: Point) -> Float[Array, " directions"]:
        return x[self.indices] * self.lengths

    def squared_length(self, s: Float[Array, " directions"]) -> Scalar:
        moved = self.lengths * s
        if self.distinct:
            return jnp.sum(moved**2)
        same = (self.indices[:, None] == self.indices[None, :]).astype(moved.dtype)
        return moved @ (same @ moved)

    def scaled(self, factors: Float[Array, " directions"]) -> "CoordinateDirections":
        return CoordinateDirections(
            self.indices, self.lengths * factors, self.weights, self.distinct
        )

    def fold(self, window: Float[Array, " block"]) -> "CoordinateDirections":
        block, offset = jnp.divmod(self.indices, window.size)
        return CoordinateDirections(
            block, self.lengths * window[offset], self.weights, distinct=False
        )


class DenseDirections(AbstractDirections):
    """v_k is row k of `vectors`."""

    vectors: Float[Array, "directions dim"]
    weights: Float[Array, " directions"]

    def displace(self, x: Point, s: Float[Array, " directions"]) -> Point:
        return x + s @ self.vectors

    def contract(self, matrix: Float[Array, "width dim"]) -> Float[Array, "directions width"]:
        return self.vectors @ matrix.T

    def dot(self, x: Point) -> Float[Array, " directions"]:
        return self.vectors @ x

    def squared_length(self, s: Float[Array, " directions"]) -> Scalar:
        gram = self.vectors @ self.vectors.T
        return s @ (gram @ s)

    def scaled(self, factors: Float[Array, " directions"]) -> "DenseDirections":
        return DenseDirections(self.vectors * factors[:, None], self.weights)

    def fold(self, window: Float[Array, " block"]) -> "DenseDirections":
        blocks = self.vectors.reshape(self.vectors.shape[0], -1, window.size)
        return DenseDirections(blocks @ window, self.weights)


class AbstractSampler(eqx.Module):
    """A distribution of directions."""

    @abstractmethod
    def __call__(self, dim: int, batch: int, *, key: PRNGKey) -> AbstractDirections:
        """Draw `batch` directions in R^dim."""


def _coordinates(
    indices: Int[Array, " directions"], weights: Float[Array, " directions"], *, distinct: bool
) -> CoordinateDirections:
    return CoordinateDirections(indices, jnp.ones_like(weights), weights, distinct)


class Stratified(AbstractSampler):
    """One coordinate from each of `batch` strata of consecutive coordinates, in O(batch).

    The strata's sizes differ by at most one; a stratum's size is its weight, its inverse inclusion
    probability. Neighbouring coordinates never come together, and every part of the point is seen
    at every step.
    """

    def __call__(self, dim: int, batch: int, *, key: PRNGKey) -> CoordinateDirections:
        edges = np.arange(batch + 1, dtype=np.int64) * dim // batch
        starts, sizes = edges[:-1].astype(np.int32), np.diff(edges).astype(np.int32)
        offsets = jax.random.randint(key, (batch,), 0, jnp.asarray(sizes))
        weights = jnp.asarray(sizes, jnp.result_type(float))
        return _coordinates(jnp.asarray(starts) + offsets, weights, distinct=True)


class WithReplacement(AbstractSampler):
    """`batch` independent uniform coordinates, each of weight dim/batch."""

    def __call__(self, dim: int, batch: int, *, key: PRNGKey) -> CoordinateDirections:
        indices = jax.random.randint(key, (batch,), 0, dim)
        return _coordinates(indices, jnp.full((batch,), dim / batch), distinct=False)


class WithoutReplacement(AbstractSampler):
    """A uniform subset of `batch` coordinates, each of weight dim/batch, by Floyd's algorithm.

    Bentley and Floyd, "A sample of brilliance" (CACM 1987): O(batch^2) comparisons, whatever dim,
    where a permutation would cost O(dim).
    """

    def __call__(self, dim: int, batch: int, *, key: PRNGKey) -> CoordinateDirections:
        last = jnp.arange(dim - batch, dim)
        candidates = jax.random.randint(key, (batch,), 0, last + 1)

        def insert(k: Int[Array, ""], chosen: Int[Array, " batch"]) -> Int[Array, " batch"]:
            taken = jnp.any(chosen == candidates[k])
            return chosen.at[k].set(jnp.where(taken, last[k], candidates[k]))

        indices = lax.fori_loop(0, batch, insert, jnp.full((batch,), -1, candidates.dtype))
        return _coordinates(indices, jnp.full((batch,), dim / batch), distinct=True)


class Permutation(AbstractSampler):
    """A uniform subset of coordinates, read off a permutation of all, as published: O(dim)."""

    def __call__(self, dim: int, batch: int, *, key: PRNGKey) -> CoordinateDirections:
        indices = jax.random.choice(key, dim, (batch,), replace=False)
        return _coordinates(indices, jnp.full((batch,), dim / batch), distinct=True)


class Dense(AbstractSampler):
    """Independent entries of mean 0 and variance 1, each vector of weight 1/batch.

    `distribution` is "rademacher" (the least variance among such vectors, Hutchinson 1990) or
    "gaussian" (rotation invariant).
    """

    distribution: Literal["rademacher", "gaussian"] = eqx.field(static=True)

    def __call__(self, dim: int, batch: int, *, key: PRNGKey) -> DenseDirections:
        draw = jax.random.rademacher if self.distribution == "rademacher" else jax.random.normal
        vectors = draw(key, (batch, dim), dtype=jnp.result_type(float))
        return DenseDirections(vectors, jnp.full((batch,), 1 / batch))


def all_coordinates(dim: int) -> CoordinateDirections:
    """Every coordinate once: the estimate is then exact."""
    return _coordinates(jnp.arange(dim), jnp.ones(dim), distinct=True)
