from collections.abc import Callable
from functools import partial
from itertools import product
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from stde_cli.autodiff.directions import (
    AbstractDirections,
    AbstractSampler,
    CoordinateDirections,
    DenseDirections,
)
from stde_cli.problem.operators.base import AbstractOperator, Jets, Span, derivative_along, extent
from stde_cli.problem.operators.sets import independent_sets
from stde_cli.system.types import Point, PRNGKey, Scalar, ScalarField

Coefficient: TypeAlias = Callable[[Point, Int[Array, "sets sums"]], Float[Array, " sets"]]
"""C_{ij...}(x) at sets of indices, counted from the start of the span."""


class SumOfPartials(AbstractOperator):
    """sum_ij... C_ij... d^n u / (dx_i^p dx_j^q ... dx_fixed): sums over one coordinate or several.

    `powers` holds p, q, ...; `fixed` the coordinates that are not summed, repeated as often as
    they occur. Sum_i d^4/dx_i^4 is powers (4,); sum_ij u_iijj is (2, 2); sum_i u_iij with a given j
    is (2,) with fixed (j,). Coefficients of a sum over one coordinate may be an array, and are then
    sampled in proportion to their size by a sampler that does so.

    `places` says, for each power, the number of its sum and an offset from that sum's coordinate:
    sum_i d^2/(dx_i dx_{i+1}) is powers (1, 1) with places ((0, 0), (0, 1)). Without it each power
    has a sum of its own. Every sum runs over `span`, which leaves room for the offsets.
    """

    powers: tuple[int, ...] = eqx.field(static=True)
    fixed: tuple[int, ...] = eqx.field(static=True, default=())
    span: Span = eqx.field(static=True, default=None)
    coefficient: Float[Array, " span"] | Coefficient | None = None
    places: tuple[tuple[int, int], ...] | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        if self._sums > 1 and self.coefficient is not None and not callable(self.coefficient):
            raise ValueError("an array of coefficients is for a sum over one coordinate")

    @property
    def _places(self) -> tuple[tuple[int, int], ...]:
        return self.places or tuple((number, 0) for number in range(len(self.powers)))

    @property
    def _sums(self) -> int:
        return 1 + max(number for number, _ in self._places)

    def exact(self, field: ScalarField, x: Point) -> Scalar:
        over = extent(self.span, x.size)
        sets = product(range(len(over)), repeat=self._sums)
        indices = jnp.array(list(sets), jnp.int32)
        units = jnp.eye(x.size, dtype=x.dtype)
        fixed = units[jnp.array(self.fixed, int)]

        order = sum(self.powers)
        moved = jnp.stack([indices[:, number] + offset for number, offset in self._places], axis=1)
        numbers = jnp.repeat(moved, jnp.array(self.powers), axis=1, total_repeat_length=order)

        def along(numbers: Int[Array, " order"]) -> Scalar:
            vectors = jnp.concatenate([units[over.start + numbers], fixed])
            return derivative_along(field, vectors)(x)

        return self.weights_at(x, indices) @ jax.vmap(along)(numbers)

    def draw(self, sampler: AbstractSampler, batch: int, dim: int, *, key: PRNGKey) -> PyTree:
        constants = self.coefficient
        sizes = None if constants is None or callable(constants) else jnp.abs(constants)
        directions, weights = independent_sets(
            self.span, sampler, batch, dim, times=self._sums, sizes=sizes, key=key
        )
        if isinstance(directions, DenseDirections):
            self._check_dense()
        return directions, weights

    def jets(self, x: Point, drawn: PyTree) -> tuple[Jets, ...]:
        directions, weights = drawn
        start = extent(self.span, x.size).start
        if self.coefficient is not None:
            weights = weights * self.weights_at(x, directions.indices - start)
        if self.places:
            directions = jax.vmap(partial(_moved, places=self.places))(directions)
        counts = {c: self.fixed.count(c) for c in self.fixed}
        for coordinate in counts:
            directions = jax.vmap(partial(_with_unit, coordinate=coordinate))(directions)
        powers = (*self.powers, *counts.values())
        return (Jets(directions, weights, powers, signed=self.coefficient is not None),)

    def weights_at(self, x: Point, indices: Int[Array, "sets sums"]) -> Float[Array, " sets"]:
        if self.coefficient is None:
            return jnp.ones(len(indices), x.dtype)
        if callable(self.coefficient):
            return self.coefficient(x, indices)
        return self.coefficient[indices[:, 0]]

    def _check_dense(self) -> None:
        if self.places is not None:
            raise ValueError(
                "dense directions cannot represent a sum over pairs of neighbouring coordinates; "
                "take a sampler of coordinates"
            )
        if any(power != 2 for power in self.powers):
            order = max(self.powers)
            raise ValueError(
                f"dense directions cannot represent a sum of d^{order}/dx_i^{order}: it would "
                f"take entries with E[v_i ... v_j] = 0 unless all {order} indices agree, and "
                "independent ones have E[v_i^2 v_j^2] = 1; take a sampler of coordinates"
                if order > 2
                else "dense directions cannot represent a sum of first derivatives: their mean "
                "is zero; take a sampler of coordinates"
            )
        if self.coefficient is not None:
            raise ValueError(
                "dense directions weigh all coordinates alike, and this sum has coefficients; "
                "take a sampler of coordinates"
            )


def _moved(
    directions: AbstractDirections, places: tuple[tuple[int, int], ...]
) -> CoordinateDirections:
    """For every place, the coordinate of its sum moved by its offset, in one set."""
    assert isinstance(directions, CoordinateDirections)
    numbers = jnp.array([number for number, _ in places])
    offsets = jnp.array([offset for _, offset in places], directions.indices.dtype)
    return CoordinateDirections(
        directions.indices[numbers] + offsets,
        directions.lengths[numbers],
        directions.weights[numbers],
        distinct=False,
    )


def _with_unit(directions: AbstractDirections, coordinate: int) -> AbstractDirections:
    """One set with e_coordinate as one more direction."""
    weights = jnp.pad(directions.weights, (0, 1), constant_values=1)
    if isinstance(directions, CoordinateDirections):
        indices = jnp.pad(directions.indices, (0, 1), constant_values=coordinate)
        lengths = jnp.pad(directions.lengths, (0, 1), constant_values=1)
        return CoordinateDirections(indices, lengths, weights, distinct=False)
    assert isinstance(directions, DenseDirections)
    vectors = jnp.pad(directions.vectors, ((0, 1), (0, 0)))
    return DenseDirections(vectors.at[-1, coordinate].set(1), weights)
