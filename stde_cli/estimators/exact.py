import jax
import jax.numpy as jnp
from jax import lax

from stde_cli._types import (
    Derivatives,
    Point,
    PRNGKey,
    RestrictedField,
    Scalar,
    ScalarField,
)
from stde_cli.directions import AbstractDirections, CoordinateDirections, all_coordinates
from stde_cli.estimators.base import AbstractEstimator, Operators
from stde_cli.operators import Laplacian, Partial
from stde_cli.restriction import restrict
from stde_cli.taylor import value_and_trace

_CHUNK = 256
"""Directions pushed at once; beyond this many, more of them save nothing and cost memory."""


class Exact(AbstractEstimator):
    """All coordinates: no sampling error, at a cost in proportion to dim."""

    def draw(self, dim: int, *, key: PRNGKey) -> CoordinateDirections:
        return all_coordinates(dim)

    def __call__(
        self, field: ScalarField, operators: Operators, x: Point, directions: AbstractDirections
    ) -> tuple[Scalar, Derivatives]:
        derivatives = {}
        for name, operator in operators.items():
            match operator:
                case Laplacian():
                    derivatives[name] = _laplacian(field, x)
                case Partial(coordinates=coordinates):
                    derivatives[name] = _partial(field, x, coordinates)
                case _:
                    raise ValueError(f"no exact form of {name}, a {type(operator).__name__}")
        return field(x), derivatives


def _laplacian(field: ScalarField, x: Point) -> Scalar:
    """The trace of the Hessian, `_CHUNK` coordinates at a time."""
    dim = x.size
    if dim <= _CHUNK:
        return value_and_trace(restrict(field, x, all_coordinates(dim)), dim)[1]

    @jax.checkpoint
    def chunk_trace(start: jax.Array) -> Scalar:
        # The last chunk runs past the end: its surplus directions have length zero.
        indices = start + jnp.arange(_CHUNK)
        lengths = (indices < dim).astype(x.dtype)
        chunk = CoordinateDirections(
            jnp.minimum(indices, dim - 1), lengths, lengths, distinct=False
        )
        return value_and_trace(restrict(field, x, chunk), _CHUNK)[1]

    def add(total: Scalar, start: jax.Array) -> tuple[Scalar, None]:
        return total + chunk_trace(start), None

    return lax.scan(add, jnp.zeros((), x.dtype), jnp.arange(0, dim, _CHUNK))[0]


def _partial(field: ScalarField, x: Point, coordinates: tuple[int, ...]) -> Scalar:
    """A mixed partial by nested forward mode, in the plane of its own coordinates."""
    distinct = sorted(set(coordinates))
    ones = jnp.ones(len(distinct), x.dtype)
    plane = CoordinateDirections(jnp.array(distinct), ones, ones, distinct=True)
    derivative = restrict(field, x, plane)
    for coordinate in coordinates:
        tangent = jnp.zeros_like(ones).at[distinct.index(coordinate)].set(1)
        derivative = _along(derivative, tangent)
    return derivative(jnp.zeros_like(ones))


def _along(function: RestrictedField, tangent: jax.Array) -> RestrictedField:
    return lambda s: jax.jvp(function, (s,), (tangent,))[1]
