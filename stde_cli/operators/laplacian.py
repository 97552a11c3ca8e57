import jax
import jax.numpy as jnp

from stde_cli._types import Point, Scalar, ScalarField
from stde_cli.operators.base import AbstractOperator


class Laplacian(AbstractOperator):
    """sum_i d^2 u / dx_i^2."""

    def exact(self, field: ScalarField, x: Point) -> Scalar:
        return jnp.trace(jax.hessian(field)(x))
