"""What the published estimators of a Laplacian share."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from stde_cli.autodiff.directions import AbstractDirections, AbstractSampler
from stde_cli.estimators.base import AbstractEstimator, Operators, draw_each
from stde_cli.problem.operators import AbstractOperator, Laplacian, partial_sum
from stde_cli.system.types import Derivatives, Point, PRNGKey, Scalar, ScalarField


class AbstractTrace(AbstractEstimator):
    """Laplacians from `batch` second derivatives of the whole field.

    A Laplacian over some of the coordinates is read along directions within them. First
    derivatives, as a time derivative beside a Laplacian, are components of a gradient.
    """

    batch: eqx.AbstractVar[int]
    sampler: eqx.AbstractClassVar[AbstractSampler]

    @abstractmethod
    def trace(self, field: ScalarField, x: Point, directions: AbstractDirections) -> Scalar:
        """sum_k weights[k] D^2 field(v_k, v_k) at x."""

    def draw(self, operators: Operators, dim: int, *, key: PRNGKey) -> dict[str, PyTree]:
        check_represented(operators)
        return draw_each(operators, self.sampler, self.batch, dim, key=key)

    def __call__(
        self, field: ScalarField, operators: Operators, x: Point, drawn: dict[str, PyTree]
    ) -> tuple[Scalar, Derivatives]:
        return field(x), {
            name: self.trace(field, x, drawn[name])
            if isinstance(operator, Laplacian)
            else operator.exact(field, x)
            for name, operator in operators.items()
        }


def check_represented(operators: Operators) -> None:
    """Laplacians and first derivatives pass.

    Raises:
        ValueError: there is another operator.
    """
    for name, operator in operators.items():
        if not isinstance(operator, Laplacian) and not is_first_derivative(operator):
            kind = type(operator).__name__
            raise ValueError(
                f"no estimate of {name}: {kind} is no Laplacian, and no first derivative"
            )


def is_first_derivative(operator: AbstractOperator) -> bool:
    """Whether it is a sum of first derivatives in given coordinates."""
    found = partial_sum(operator)
    return found is not None and all(len(coordinates) == 1 for coordinates in found)


def vectors(x: Point, directions: AbstractDirections) -> Float[Array, "directions dim"]:
    """The directions written out, one-hot where they are coordinates: as published."""
    units = jnp.eye(directions.weights.size, dtype=x.dtype)
    return jax.vmap(lambda unit: directions.displace(jnp.zeros_like(x), unit))(units)
