from collections.abc import Callable
from typing import TypeAlias

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from stde_cli.autodiff.directions import (
    AbstractDirections,
    AbstractSampler,
    CoordinateDirections,
    DenseDirections,
    one_by_one,
)
from stde_cli.problem.operators.base import AbstractOperator, Jets, Span, extent, hessian_within
from stde_cli.system.types import Point, PRNGKey, Scalar, ScalarField

Factor: TypeAlias = Float[Array, ""] | Float[Array, " span"] | Float[Array, "span columns"]


class WeightedTrace(AbstractOperator):
    """tr(sigma sigma^T Hess u) over the coordinates of `span`.

    sigma is a number, a diagonal, a matrix of shape (span, columns), or a function of the point
    that returns one of these. The isotropic directions w of a Laplacian in the space of sigma's
    columns become v = sigma w ([STDE] section 4.3, parabolic equations). Twice the generator of the
    diffusion dX = sigma dW.

    `columns` is needed for a function that returns matrices which are not square.
    """

    sigma: Factor | Callable[[Point], Factor]
    span: Span = eqx.field(static=True, default=None)
    columns: int | None = eqx.field(static=True, default=None)

    def exact(self, field: ScalarField, x: Point) -> Scalar:
        hessian = hessian_within(field, x, self.span)
        sigma = self.sigma_at(x)
        if sigma.ndim < 2:
            return jnp.sum(sigma**2 * jnp.diagonal(hessian))
        return jnp.trace(sigma @ sigma.T @ hessian)

    def draw(
        self, sampler: AbstractSampler, batch: int, dim: int, *, key: PRNGKey
    ) -> AbstractDirections:
        over = extent(self.span, dim)
        columns, sizes = self.columns or len(over), None
        if not callable(self.sigma):
            sigma = jnp.asarray(self.sigma)
            columns = sigma.shape[1] if sigma.ndim == 2 else columns
            sizes = jnp.sum(sigma**2, axis=0) if sigma.ndim == 2 else None
            sizes = sigma**2 if sigma.ndim == 1 else sizes
        return sampler(columns, min(batch, columns), sizes=sizes, key=key)

    def jets(self, x: Point, drawn: AbstractDirections) -> tuple[Jets, ...]:
        over, sigma, factor = extent(self.span, x.size), self.sigma_at(x), 1.0
        if sigma.ndim == 0:
            # The directions stay as they are, one set for all points.
            moved, factor = drawn, sigma**2
        elif sigma.ndim == 2:
            moved = DenseDirections(drawn.contract(sigma), drawn.weights)
        elif isinstance(drawn, CoordinateDirections):
            moved = drawn.scaled(sigma[drawn.indices])
        else:
            assert isinstance(drawn, DenseDirections)
            moved = DenseDirections(drawn.vectors * sigma, drawn.weights)
        return (Jets(one_by_one(moved.embedded(over, x.size)), drawn.weights, (2,), factor),)

    def sigma_at(self, x: Point) -> Factor:
        return self.sigma(x) if callable(self.sigma) else jnp.asarray(self.sigma, x.dtype)
