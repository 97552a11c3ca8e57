from typing import ClassVar

import jax
import jax.numpy as jnp

from stde_cli.autodiff.directions import AbstractDirections, AbstractSampler, Dense
from stde_cli.estimators.published.traces import AbstractTrace, vectors
from stde_cli.system.ranges import Count
from stde_cli.system.types import Point, Scalar, ScalarField


class HTE(AbstractTrace):
    """Hutchinson's estimate of a trace with Rademacher vectors, by Hessian-vector products.

    Hu, Shi, Karniadakis, Kawaguchi, "Hutchinson trace estimation for high-dimensional and
    high-order physics-informed neural networks" (2023, arXiv 2312.14499), the estimate of second
    order after Hutchinson (1990):

        Laplacian(u) ~ (1/batch) sum_k v_k^T H v_k,   v_k of independent entries -1 and 1.

    Each product is forward mode over reverse mode on the whole field. Unbiased. A vector's variance
    is 2 sum_{i != j} H_ij^2: what is off the diagonal, where sampled coordinates suffer from
    differences along it.
    """

    batch: Count
    sampler: ClassVar[AbstractSampler] = Dense("rademacher")

    def trace(self, field: ScalarField, x: Point, directions: AbstractDirections) -> Scalar:
        def second(v: Point) -> Scalar:
            return jnp.vdot(jax.jvp(jax.grad(field), (x,), (v,))[1], v)

        return jnp.sum(directions.weights * jax.vmap(second)(vectors(x, directions)))
