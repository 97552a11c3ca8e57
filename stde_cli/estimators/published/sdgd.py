"""Stochastic dimension gradient descent: the Laplacian from sampled coordinates, in three forms.

Hu, Shukla, Karniadakis, Kawaguchi, "Tackling the curse of dimensionality with physics-informed
neural networks" (2023, arXiv 2307.12306), algorithm 1:

    Laplacian(u) ~ (dim/batch) sum over sampled i of d^2 u/dx_i^2,

`batch` coordinates drawn anew each step without replacement. The forms are those that [STDE]
measures in its tables 1 and 2 (section 5.1): they give the same number and differ in how a second
derivative is computed, and so in time and memory.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int

from stde_cli.autodiff.directions import (
    AbstractDirections,
    AbstractSampler,
    CoordinateDirections,
    Permutation,
)
from stde_cli.estimators.published.traces import AbstractTrace, vectors
from stde_cli.system.ranges import Count
from stde_cli.system.types import Point, Scalar, ScalarField


class SDGDBackwardScan(AbstractTrace):
    """Reverse mode over reverse mode, d/dx_i (d u/dx_i), one sampled coordinate after another.

    [STDE] table 1, "backward mode SDGD (scan)": a `lax.scan` over the coordinates, so that little
    runs at once, and the reverse pass of the loss keeps what each turn of the loop has computed.
    """

    batch: Count
    sampler: ClassVar[AbstractSampler] = Permutation()

    def trace(self, field: ScalarField, x: Point, directions: AbstractDirections) -> Scalar:
        assert isinstance(directions, CoordinateDirections)

        def add(total: Scalar, term: tuple[Int[Array, ""], Scalar]) -> tuple[Scalar, None]:
            index, weight = term
            second = jax.grad(lambda y: jax.grad(field)(y)[index])(x)[index]
            return total + weight * second, None

        terms = directions.indices, directions.weights.astype(x.dtype)
        return lax.scan(add, jnp.zeros((), x.dtype), terms)[0]


class SDGDBackwardVmap(AbstractTrace):
    """Hessian-vector products grad(grad u . v), all sampled coordinates at once.

    [STDE] table 1, "backward mode SDGD (vmap)": reverse mode over reverse mode, v one-hot.
    """

    batch: Count
    sampler: ClassVar[AbstractSampler] = Permutation()

    def trace(self, field: ScalarField, x: Point, directions: AbstractDirections) -> Scalar:
        def second(v: Point) -> Scalar:
            return jnp.vdot(jax.grad(lambda y: jnp.vdot(jax.grad(field)(y), v))(x), v)

        return jnp.sum(directions.weights * jax.vmap(second)(vectors(x, directions)))


class SDGDForwardOverBackward(AbstractTrace):
    """Hessian-vector products by linearising grad u once, all sampled coordinates at once.

    [STDE] table 1, "forward-over-backward SDGD": `jax.linearize` of the gradient at the point, its
    linear map then applied to every one-hot v.
    """

    batch: Count
    sampler: ClassVar[AbstractSampler] = Permutation()

    def trace(self, field: ScalarField, x: Point, directions: AbstractDirections) -> Scalar:
        hessian = jax.linearize(jax.grad(field), x)[1]

        def second(v: Point) -> Scalar:
            return jnp.vdot(hessian(v), v)

        return jnp.sum(directions.weights * jax.vmap(second)(vectors(x, directions)))
