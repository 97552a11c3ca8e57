from typing import ClassVar

import jax
import jax.numpy as jnp

from stde_cli.autodiff.directions import AbstractDirections, AbstractSampler, Permutation
from stde_cli.autodiff.taylor import pure_derivatives
from stde_cli.estimators.published.traces import AbstractTrace, vectors
from stde_cli.system.ranges import Count
from stde_cli.system.types import Point, Scalar, ScalarField


class Unrestricted(AbstractTrace):
    """[STDE] as published: dense one-hot 2-jets through the whole field, one a direction.

    Shi, Hu, Lin, Kawaguchi, "Stochastic Taylor derivative estimator" (2024, arXiv 2412.00088),
    section 4.2, sparse jets:

        Laplacian(u) ~ (dim/batch) sum over sampled i of the second coefficient of J u(e_i, 0).

    Coordinates come without replacement from a permutation of all of them; each jet is a vector of
    R^dim and is pushed by `jax.experimental.jet`. Same estimate in distribution as `STDE` without
    replacement.
    """

    batch: Count
    sampler: ClassVar[AbstractSampler] = Permutation()

    def trace(self, field: ScalarField, x: Point, directions: AbstractDirections) -> Scalar:
        def second(v: Point) -> Scalar:
            return pure_derivatives(field, x, v, order=2)[1]

        return jnp.sum(directions.weights * jax.vmap(second)(vectors(x, directions)))
