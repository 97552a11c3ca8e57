import jax
import jax.numpy as jnp

from stde_cli.objective.losses.base import AbstractLoss, AbstractSumOfSquares, Squares
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.system.types import Point, Points, PRNGKey, Scalar, ScalarField


class Residual(AbstractSumOfSquares):
    """mean (L_J u - f)^2 with one draw J of directions.

    Its mean over J exceeds the exact residual loss by the estimator's variance, so that it also
    presses on that variance ([STDE] section 4.1, the biased loss).
    """

    def squares(self, residual: SampledResidual, points: Points, *, key: PRNGKey) -> Squares:
        drawn = residual.draw(key=key)

        def terms(field: ScalarField, x: Point) -> Scalar:
            return residual(field, x, drawn) / len(points) ** 0.5

        return Squares(points, terms)


class UnbiasedResidual(AbstractLoss):
    """mean (L_J u - f)(L_K u - f) with independent draws J and K.

    Loss and gradient are unbiased estimates of those of the exact residual loss
    ([STDE] section 4.1). A single value may be negative.
    """

    def __call__(
        self, residual: SampledResidual, field: ScalarField, points: Points, *, key: PRNGKey
    ) -> Scalar:
        source = residual.source(points)
        first, second = (
            residual.lhs(field, points, residual.draw(key=k)) - source
            for k in jax.random.split(key)
        )
        return jnp.mean(first * second)
