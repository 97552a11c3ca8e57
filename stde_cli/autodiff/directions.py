"""Directions along which an operator is read, and the distributions that they are drawn from.

Every set of directions v_1 ... v_r with weights w_1 ... w_r drawn here satisfies

    E[ sum_k w_k v_k v_k^T ] = I,

so that sum_k w_k D^2u(v_k, v_k) is an unbiased estimate of the Laplacian ([STDE] section 4.2;
Hutchinson 1990 for the dense kind). Directions are drawn once a step and shared by the batch.

Coordinate directions are r integers and r lengths: nothing of size r x d is ever formed for them.
"""

from abc import abstractmethod
from typing import Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from stde_cli.system.types import Point, PRNGKey, Scalar

Sizes: TypeAlias = Float[Array, " dim"] | None


class AbstractDirections(eqx.Module):
    """r weighted vectors in R^d, the columns of V, and the products that `restrict` needs."""

    weights: eqx.AbstractVar[Float[Array, " directions"]]

    @property
    @abstractmethod
    def moved(self) -> Int[Array, " moved"] | None:
        """The positions where some direction is not zero, perhaps repeated; None: everywhere."""

    @abstractmethod
    def displace(self, x: Point, s: Float[Array, " directions"]) -> Point:
        """x + V s."""

    @abstractmethod
    def at(self, positions: Int[Array, " n"]) -> Float[Array, "directions n"]:
        """The directions' entries at some positions: rows of V, transposed."""

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
    def stretched(self, factors: Float[Array, " dim"]) -> "AbstractDirections":
        """Their images where entry i of every vector is made factors[i] times as long."""

    @abstractmethod
    def fold(self, window: Float[Array, " block"]) -> "AbstractDirections":
        """The images of the directions under z_m = sum_b window[b] x[m block + b]."""

    @abstractmethod
    def embedded(self, over: range, dim: int) -> "AbstractDirections":
        """The same directions in R^dim, where their own entries are those in `over`."""


class CoordinateDirections(AbstractDirections):
    """v_k = lengths[k] e_{indices[k]}; `distinct` says that no index occurs twice."""

    indices: Int[Array, " directions"]
    lengths: Float[Array, " directions"]
    weights: Float[Array, " directions"]
    distinct: bool = eqx.field(static=True)

    @property
    def moved(self) -> Int[Array, " directions"]:
        return self.indices

    def displace(self, x: Point, s: Float[Array, " directions"]) -> Point:
        return x.at[self.indices].add(self.lengths * s)

    def at(self, positions: Int[Array, " n"]) -> Float[Array, "directions n"]:
        return (self.indices[:, None] == positions) * self.lengths[:, None]

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

    def stretched(self, factors: Float[Array, " dim"]) -> "CoordinateDirections":
        lengths = self.lengths * factors[self.indices]
        return CoordinateDirections(self.indices, lengths, self.weights, self.distinct)

    def fold(self, window: Float[Array, " block"]) -> "CoordinateDirections":
        block, offset = jnp.divmod(self.indices, window.size)
        return CoordinateDirections(
            block, self.lengths * window[offset], self.weights, distinct=False
        )

    def embedded(self, over: range, dim: int) -> "CoordinateDirections":
        indices = self.indices + over.start
        return CoordinateDirections(indices, self.lengths, self.weights, self.distinct)


class DenseDirections(AbstractDirections):
    """v_k is row k of `vectors`."""

    vectors: Float[Array, "directions dim"]
    weights: Float[Array, " directions"]

    @property
    def moved(self) -> None:
        return None

    def displace(self, x: Point, s: Float[Array, " directions"]) -> Point:
        return x + s @ self.vectors

    def at(self, positions: Int[Array, " n"]) -> Float[Array, "directions n"]:
        return self.vectors[:, positions]

    def contract(self, matrix: Float[Array, "width dim"]) -> Float[Array, "directions width"]:
        return self.vectors @ matrix.T

    def dot(self, x: Point) -> Float[Array, " directions"]:
        return self.vectors @ x

    def squared_length(self, s: Float[Array, " directions"]) -> Scalar:
        gram = self.vectors @ self.vectors.T
        return s @ (gram @ s)

    def scaled(self, factors: Float[Array, " directions"]) -> "DenseDirections":
        return DenseDirections(self.vectors * factors[:, None], self.weights)

    def stretched(self, factors: Float[Array, " dim"]) -> "DenseDirections":
        return DenseDirections(self.vectors * factors, self.weights)

    def fold(self, window: Float[Array, " block"]) -> "DenseDirections":
        blocks = self.vectors.reshape(self.vectors.shape[0], -1, window.size)
        return DenseDirections(blocks @ window, self.weights)

    def embedded(self, over: range, dim: int) -> "DenseDirections":
        vectors = jnp.pad(self.vectors, ((0, 0), (over.start, dim - over.stop)))
        return DenseDirections(vectors, self.weights)


def one_by_one(*draws: AbstractDirections) -> AbstractDirections:
    """r sets of directions, stacked: set k holds the k-th direction of every draw.

    For a function of one set of directions, mapped over the leading axis.
    """
    loose = [
        CoordinateDirections(d.indices, d.lengths, d.weights, distinct=len(draws) == 1)
        if isinstance(d, CoordinateDirections)
        else d
        for d in draws
    ]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves, axis=1), *loose)


def joined(first: AbstractDirections, second: AbstractDirections) -> AbstractDirections:
    """The directions of both, those of `first` in front."""
    weights = jnp.concatenate([first.weights, second.weights])
    if isinstance(first, CoordinateDirections) and isinstance(second, CoordinateDirections):
        indices = jnp.concatenate([first.indices, second.indices])
        lengths = jnp.concatenate([first.lengths, second.lengths])
        return CoordinateDirections(indices, lengths, weights, distinct=False)
    vectors = jnp.concatenate([_dense(first, like=second), _dense(second, like=first)])
    return DenseDirections(vectors, weights)


def _dense(
    directions: AbstractDirections, like: AbstractDirections
) -> Float[Array, "directions dim"]:
    if isinstance(directions, DenseDirections):
        return directions.vectors
    assert isinstance(directions, CoordinateDirections)
    assert isinstance(like, DenseDirections)
    count = directions.indices.size
    rows = jnp.arange(count)
    empty = jnp.zeros((count, like.vectors.shape[1]))
    return empty.at[rows, directions.indices].set(directions.lengths)


class AbstractSampler(eqx.Module):
    """A distribution of directions."""

    @abstractmethod
    def __call__(
        self, dim: int, batch: int, *, sizes: Sizes = None, key: PRNGKey
    ) -> AbstractDirections:
        """Draw `batch` directions in R^dim.

        `sizes` are the magnitudes of the terms of a sum over the coordinates, for samplers that
        choose in proportion to them.
        """


def _coordinates(
    indices: Int[Array, " directions"], weights: Float[Array, " directions"], *, distinct: bool
) -> CoordinateDirections:
    return CoordinateDirections(indices, jnp.ones_like(weights), weights, distinct)


class Stratified(AbstractSampler):
    """One coordinate from each of `batch` strata of consecutive coordinates, in O(batch).

    The strata's sizes differ by at most one; a stratum's size is its weight, its inverse inclusion
    probability. Every part of the point is seen at every step. Two neighbouring coordinates come
    together only across the border of two strata: 16 of 100 hold such a pair in a third of the
    draws.
    """

    def __call__(
        self, dim: int, batch: int, *, sizes: Sizes = None, key: PRNGKey
    ) -> CoordinateDirections:
        edges = np.arange(batch + 1, dtype=np.int64) * dim // batch
        starts, counts = edges[:-1].astype(np.int32), np.diff(edges).astype(np.int32)
        offsets = jax.random.randint(key, (batch,), 0, jnp.asarray(counts))
        weights = jnp.asarray(counts, jnp.result_type(float))
        return _coordinates(jnp.asarray(starts) + offsets, weights, distinct=True)


class WithReplacement(AbstractSampler):
    """`batch` independent uniform coordinates, each of weight dim/batch."""

    def __call__(
        self, dim: int, batch: int, *, sizes: Sizes = None, key: PRNGKey
    ) -> CoordinateDirections:
        indices = jax.random.randint(key, (batch,), 0, dim)
        return _coordinates(indices, jnp.full((batch,), dim / batch), distinct=False)


class WithoutReplacement(AbstractSampler):
    """A uniform subset of `batch` coordinates, each of weight dim/batch, by Floyd's algorithm.

    Bentley and Floyd, "A sample of brilliance" (CACM 1987): O(batch^2) comparisons, whatever dim,
    where a permutation would cost O(dim).
    """

    def __call__(
        self, dim: int, batch: int, *, sizes: Sizes = None, key: PRNGKey
    ) -> CoordinateDirections:
        last = jnp.arange(dim - batch, dim)
        candidates = jax.random.randint(key, (batch,), 0, last + 1)

        def insert(k: Int[Array, ""], chosen: Int[Array, " batch"]) -> Int[Array, " batch"]:
            taken = jnp.any(chosen == candidates[k])
            return chosen.at[k].set(jnp.where(taken, last[k], candidates[k]))

        indices = lax.fori_loop(0, batch, insert, jnp.full((batch,), -1, candidates.dtype))
        return _coordinates(indices, jnp.full((batch,), dim / batch), distinct=True)


class Importance(AbstractSampler):
    """Coordinates in proportion to the size of their terms, stratified; `Stratified` without sizes.

    The variance is least where terms of equal coefficient are alike ([STDE] section 4.3). Drawn and
    weighted in integers: a running sum in single precision would shift small probabilities.
    """

    def __call__(
        self, dim: int, batch: int, *, sizes: Sizes = None, key: PRNGKey
    ) -> CoordinateDirections:
        if sizes is None or batch == dim:
            # As many draws as coordinates are each of them once.
            return Stratified()(dim, batch, key=key)
        total_size = jnp.sum(sizes)
        shares = jnp.where(total_size > 0, sizes / total_size, 1 / dim)
        # Together at most 2^29 and one for each coordinate: below 2^31.
        counts = jnp.ceil(shares * 2**29).astype(jnp.int32)
        running = jnp.cumsum(counts)
        total = running[-1]
        stratum = total // batch
        # `batch` equal strata of tickets; the few left over belong to the last.
        starts = stratum * jnp.arange(batch, dtype=jnp.int32)
        lengths = jnp.full((batch,), stratum).at[-1].set(total - starts[-1])
        ticket = starts + jax.random.randint(key, (batch,), 0, lengths)
        indices = jnp.searchsorted(running, ticket, side="right")
        weights = lengths.astype(jnp.result_type(float)) / counts[indices]
        return _coordinates(indices, weights, distinct=False)


class Permutation(AbstractSampler):
    """A uniform subset of coordinates, read off a permutation of all, as published: O(dim)."""

    def __call__(
        self, dim: int, batch: int, *, sizes: Sizes = None, key: PRNGKey
    ) -> CoordinateDirections:
        indices = jax.random.choice(key, dim, (batch,), replace=False)
        return _coordinates(indices, jnp.full((batch,), dim / batch), distinct=True)


class Dense(AbstractSampler):
    """Independent entries of mean 0 and variance 1, each vector of weight 1/batch.

    `distribution` is "rademacher" (the least variance among such vectors, Hutchinson 1990) or
    "gaussian" (rotation invariant).

    Raises:
        ValueError: it is neither.
    """

    distribution: Literal["rademacher", "gaussian"] = eqx.field(static=True)

    def __check_init__(self):
        if self.distribution not in ("rademacher", "gaussian"):
            raise ValueError(f"distribution={self.distribution!r}: rademacher or gaussian")

    def __call__(
        self, dim: int, batch: int, *, sizes: Sizes = None, key: PRNGKey
    ) -> DenseDirections:
        draw = jax.random.rademacher if self.distribution == "rademacher" else jax.random.normal
        vectors = draw(key, (batch, dim), dtype=jnp.result_type(float))
        return DenseDirections(vectors, jnp.full((batch,), 1 / batch))


def all_coordinates(dim: int) -> CoordinateDirections:
    """Every coordinate once: the estimate is then exact."""
    return _coordinates(jnp.arange(dim), jnp.ones(dim), distinct=True)
