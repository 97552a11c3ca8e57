"""Losses as others published them, to be measured against."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from stde_cli.autodiff.directions import Permutation
from stde_cli.objective.losses.base import AbstractSumOfSquares, Squares
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.system.ranges import Count, NonNegative
from stde_cli.system.types import Point, Points, PRNGKey, Scalar, ScalarField


class GPINN(AbstractSumOfSquares):
    """mean R^2 + weight dim/components sum over sampled i of mean (dR/dx_i)^2.

    Gradient-enhanced (Yu, Lu, Meng, Karniadakis, "Gradient-enhanced physics-informed neural
    networks" (2022, arXiv 2111.02801)) with components drawn from a permutation of the coordinates,
    as in [STDE] section 5.4 and table 12. Each component is one forward derivative of the whole
    residual, source included, along a one-hot vector of R^dim; with an estimator by
    Hessian-vector products that is the table's "JVP-HVP".
    """

    weight: NonNegative = 0.1
    components: Count = 16

    def squares(self, residual: SampledResidual, points: Points, *, key: PRNGKey) -> Squares:
        draw_key, components_key = jax.random.split(key)
        drawn, (count, dim) = residual.draw(key=draw_key), points.shape
        sampled = Permutation()(dim, min(self.components, dim), key=components_key)
        factors = jnp.sqrt(self.weight * sampled.weights)

        def terms(field: ScalarField, x: Point) -> tuple[Scalar, Float[Array, " components"]]:
            def component(index: Int[Array, ""]) -> tuple[Scalar, Scalar]:
                one_hot = jax.nn.one_hot(index, dim, dtype=x.dtype)
                return jax.jvp(lambda y: residual(field, y, drawn), (x,), (one_hot,))

            values, slopes = jax.vmap(component)(sampled.indices)
            return values[0] / count**0.5, factors * slopes / count**0.5

        return Squares(_kept(points), terms)


def _kept(points: Points) -> Points:
    """The same, in an array that XLA has to write.

    Merged with the many loops that read them, the numbers would be drawn anew in each, and XLA
    would take minutes to compile that. A loop is what it does not merge.
    """

    def copy(zero: Scalar, x: Point) -> tuple[Scalar, Point]:
        return 0 * x[0], x + zero

    return lax.scan(copy, 0 * points[0, 0], points)[1]
