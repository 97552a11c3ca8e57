import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from stde_cli.autodiff.directions import AbstractDirections, AbstractSampler
from stde_cli.estimators.base import AbstractEstimator, Operators, draw_each
from stde_cli.problem.operators import Jets, partial_sum
from stde_cli.system.ranges import Count
from stde_cli.system.types import Derivatives, Point, PRNGKey, Scalar, ScalarField


class NestedBackward(AbstractEstimator):
    """The same draws as `STDE`, read by nested backward mode on the whole field.

    D u(v) = v . grad u, again and again: for a Laplacian the Hessian-vector products of SDGD (Hu
    et al. 2023), for partial derivatives components of nested gradients, as deep-learning
    frameworks have it.
    """

    sampler: AbstractSampler
    batch: Count

    def draw(self, operators: Operators, dim: int, *, key: PRNGKey) -> PyTree:
        return draw_each(operators, self.sampler, self.batch, dim, key=key)

    def __call__(
        self, field: ScalarField, operators: Operators, x: Point, drawn: PyTree
    ) -> tuple[Scalar, Derivatives]:
        found: dict[str, Scalar] = {}
        for name, operator in operators.items():
            if partial_sum(operator) is not None:
                found[name] = operator.exact(field, x)
            else:
                parts = [_read(field, x, jets) for jets in operator.jets(x, drawn[name])]
                found[name] = sum(parts, start=0 * x[0])
        return field(x), found


def _read(field: ScalarField, x: Point, jets: Jets) -> Scalar:
    def one(directions: AbstractDirections) -> Scalar:
        derivative, units = field, jnp.eye(len(jets.powers), dtype=x.dtype)
        for unit, times in zip(units, jets.powers, strict=True):
            vector = directions.displace(jnp.zeros_like(x), unit)
            for _ in range(times):
                derivative = _along(derivative, vector)
        return derivative(x)

    return jets.factor * (jets.weights @ jax.vmap(one)(jets.directions) ** jets.degree)


def _along(field: ScalarField, vector: Point) -> ScalarField:
    return lambda x: jnp.vdot(jax.grad(field)(x), vector)
