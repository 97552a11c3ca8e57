from importlib.util import find_spec

import jax.numpy as jnp

from stde_cli.estimators.base import AbstractEstimator, Operators
from stde_cli.estimators.published.traces import check_represented
from stde_cli.problem.operators import Laplacian, extent
from stde_cli.system.errors import UsageError
from stde_cli.system.types import Derivatives, Point, PRNGKey, Scalar, ScalarField


class ForwardLaplacian(AbstractEstimator):
    """The exact Laplacian in one forward pass, by the package folx.

    Li et al., "A computational framework for neural network-based variational Monte Carlo with
    Forward Laplacian" (2023, arXiv 2307.08214): value, gradient in all coordinates and Laplacian
    go through the network together. For v = f(w) that is

        Laplacian(v) = sum_ij f_ij (grad w_i . grad w_j) + sum_i f_i Laplacian(w_i),

    of work and memory in proportion to dim an array. A Laplacian over some of the coordinates
    takes these alone.

    Raises:
        UsageError: folx is not installed.
    """

    def __check_init__(self) -> None:
        if find_spec("folx") is None:
            why = "it needs the package folx, which is not installed"
            raise UsageError("estimator", "forward_laplacian", why, "pip install 'stde[baselines]'")

    def draw(self, operators: Operators, dim: int, *, key: PRNGKey) -> None:
        check_represented(operators)

    def __call__(
        self, field: ScalarField, operators: Operators, x: Point, drawn: None
    ) -> tuple[Scalar, Derivatives]:
        return field(x), {
            name: _laplacian(field, x, extent(operator.span, x.size))
            if isinstance(operator, Laplacian)
            else operator.exact(field, x)
            for name, operator in operators.items()
        }


def _laplacian(field: ScalarField, x: Point, over: range) -> Scalar:
    import folx

    def within(y: Point) -> Scalar:
        return field(x.at[over.start : over.stop].set(y)) if len(over) < x.size else field(y)

    found = folx.forward_laplacian(within, disable_jit=True)(x[over.start : over.stop])
    return jnp.asarray(found.laplacian)
