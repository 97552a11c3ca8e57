import jax.numpy as jnp

from stde_cli._types import Derivatives, Point, PRNGKey, Scalar, ScalarField
from stde_cli.directions import AbstractDirections, AbstractSampler
from stde_cli.estimators.base import AbstractEstimator, Operators, only_laplacians
from stde_cli.restriction import restrict
from stde_cli.taylor import value_and_trace


class STDE(AbstractEstimator):
    """Restricts the field to `batch` directions and pushes one collapsed 2-jet through it.

    With lengths sqrt(w_k), the Laplacian of the restricted field is the weighted sum
    sum_k w_k D^2u(v_k, v_k), whose mean is the Laplacian of the field ([STDE] section 4.2, sparse
    and dense jets alike).
    """

    sampler: AbstractSampler
    batch: int

    def draw(self, dim: int, *, key: PRNGKey) -> AbstractDirections:
        return self.sampler(dim, self.batch, key=key)

    def __call__(
        self, field: ScalarField, operators: Operators, x: Point, directions: AbstractDirections
    ) -> tuple[Scalar, Derivatives]:
        scaled = directions.scaled(jnp.sqrt(directions.weights))
        value, trace = value_and_trace(restrict(field, x, scaled), directions.weights.size)
        return value, only_laplacians(operators, trace)
