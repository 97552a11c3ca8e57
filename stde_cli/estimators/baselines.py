"""Estimators as others published them, to measure against."""

import jax
import jax.numpy as jnp

from stde_cli._types import Derivatives, Point, PRNGKey, Scalar, ScalarField
from stde_cli.directions import AbstractDirections, CoordinateDirections, Permutation
from stde_cli.estimators.base import AbstractEstimator, Operators, only_laplacians
from stde_cli.taylor import pure_derivatives


class Unrestricted(AbstractEstimator):
    """[STDE] as published: dense one-hot 2-jets through the whole field, one a direction.

    Coordinates come without replacement from a permutation of all of them; each jet is a vector of
    R^dim and is pushed by `jax.experimental.jet`. Same estimate in distribution as `STDE` without
    replacement.
    """

    batch: int

    def draw(self, dim: int, *, key: PRNGKey) -> CoordinateDirections:
        return Permutation()(dim, self.batch, key=key)

    def __call__(
        self,
        field: ScalarField,
        operators: Operators,
        x: Point,
        directions: AbstractDirections,
    ) -> tuple[Scalar, Derivatives]:
        assert isinstance(directions, CoordinateDirections)
        one_hot = jax.nn.one_hot(directions.indices, x.size, dtype=x.dtype)
        second = jax.vmap(lambda v: pure_derivatives(field, x, v, order=2)[1])(one_hot)
        trace = jnp.sum(directions.weights * second)
        return field(x), only_laplacians(operators, trace)
