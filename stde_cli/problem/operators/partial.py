import equinox as eqx
import jax
import jax.numpy as jnp

from stde_cli.autodiff.directions import AbstractSampler, CoordinateDirections
from stde_cli.problem.operators.base import AbstractOperator, Jets
from stde_cli.system.types import Point, PRNGKey, Scalar, ScalarField


class Partial(AbstractOperator):
    """d^m u / dx_{i_1} ... dx_{i_m}; `coordinates` are the i's, from 0. Nothing is sampled."""

    coordinates: tuple[int, ...] = eqx.field(static=True, converter=lambda c: tuple(sorted(c)))

    def exact(self, field: ScalarField, x: Point) -> Scalar:
        derivative = field
        for coordinate in self.coordinates:
            derivative = _component(jax.grad(derivative), coordinate)
        return derivative(x)

    def draw(self, sampler: AbstractSampler, batch: int, dim: int, *, key: PRNGKey) -> None:
        return None

    def jets(self, x: Point, drawn: None) -> tuple[Jets, ...]:
        counts = {c: self.coordinates.count(c) for c in self.coordinates}
        ones = jnp.ones(len(counts), x.dtype)
        plane = CoordinateDirections(jnp.array(list(counts)), ones, ones, distinct=True)
        one_set = jax.tree.map(lambda leaf: leaf[None], plane)
        return (Jets(one_set, ones[:1], tuple(counts.values())),)


def _component(gradient, coordinate: int) -> ScalarField:
    return lambda x: gradient(x)[coordinate]
