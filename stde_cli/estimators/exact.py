from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import lax

from stde_cli.autodiff.directions import CoordinateDirections
from stde_cli.autodiff.restriction import restrict
from stde_cli.autodiff.taylor import value_and_trace
from stde_cli.estimators.base import AbstractEstimator, Operators
from stde_cli.estimators.reading import with_known_part_exact
from stde_cli.problem.operators import Laplacian, extent, partial_sum, read_partials
from stde_cli.system.types import Derivatives, Point, PRNGKey, Scalar, ScalarField

_CHUNK = 256
"""Directions pushed at once; beyond this many, more of them save nothing and cost memory."""


class Exact(AbstractEstimator):
    """All coordinates: no sampling error.

    Laplacians cost in proportion to dim, and partial derivatives follow one joint plan. Any other
    operator is computed by its own definition, in nested derivatives: for a small dim.
    """

    plans_partials: ClassVar[bool] = True

    def draw(self, operators: Operators, dim: int, *, key: PRNGKey) -> None:
        return None

    def __call__(
        self, field: ScalarField, operators: Operators, x: Point, drawn: None
    ) -> tuple[Scalar, Derivatives]:
        found: dict[str, Scalar] = {}
        partials = {name: partial_sum(operator) for name, operator in operators.items()}
        planned = {name: factors for name, factors in partials.items() if factors is not None}
        if planned:
            found |= read_partials(field, x, planned)[1]
        for name, operator in operators.items():
            if isinstance(operator, Laplacian):
                trace = partial(_laplacian, x=x, over=extent(operator.span, x.size))
                found[name] = with_known_part_exact(field, operator, x, trace)[1]
            elif name not in planned:
                found[name] = operator.exact(field, x)
        return field(x), found


def _laplacian(field: ScalarField, x: Point, over: range) -> tuple[Scalar, Scalar]:
    """u(x) and the trace of the Hessian over the coordinates `over`, `_CHUNK` of them at a time."""
    if len(over) <= _CHUNK:
        ones = jnp.ones(len(over), x.dtype)
        directions = CoordinateDirections(jnp.array(over), ones, ones, distinct=True)
        return value_and_trace(restrict(field, x, directions), len(over))

    @jax.checkpoint
    def chunk_trace(start: jax.Array) -> Scalar:
        # The last chunk runs past the end: its surplus directions have length zero.
        indices = start + jnp.arange(_CHUNK)
        lengths = (indices < over.stop).astype(x.dtype)
        chunk = CoordinateDirections(
            jnp.minimum(indices, over.stop - 1), lengths, lengths, distinct=False
        )
        return value_and_trace(restrict(field, x, chunk), _CHUNK)[1]

    def add(total: Scalar, start: jax.Array) -> tuple[Scalar, None]:
        return total + chunk_trace(start), None

    starts = jnp.arange(over.start, over.stop, _CHUNK)
    return field(x), lax.scan(add, jnp.zeros((), x.dtype), starts)[0]
