import equinox as eqx
import jax

from stde_cli._types import Point, Scalar, ScalarField
from stde_cli.operators.base import AbstractOperator


class Partial(AbstractOperator):
    """d^m u / dx_{i_1} ... dx_{i_m}; `coordinates` are the i's, counted from 0."""

    coordinates: tuple[int, ...] = eqx.field(static=True)

    def exact(self, field: ScalarField, x: Point) -> Scalar:
        derivative = field
        for coordinate in self.coordinates:
            derivative = _component(jax.grad(derivative), coordinate)
        return derivative(x)


def _component(gradient, coordinate: int) -> ScalarField:
    return lambda x: gradient(x)[coordinate]
