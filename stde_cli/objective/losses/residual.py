import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from stde_cli.estimators import AbstractEstimator
from stde_cli.objective.losses.base import AbstractLoss
from stde_cli.problem.pdes import AbstractPDE
from stde_cli.system.types import Points, PRNGKey, Scalar, ScalarField, Values


class Residual(AbstractLoss):
    """mean (L_J u - f)^2 with one draw J of directions.

    Its mean over J exceeds the exact residual loss by the estimator's variance, so that it also
    presses on that variance ([STDE] section 4.1, the biased loss).
    """

    def __call__(
        self,
        pde: AbstractPDE,
        estimator: AbstractEstimator,
        field: ScalarField,
        points: Points,
        *,
        key: PRNGKey,
    ) -> Scalar:
        drawn = estimator.draw(pde.operators, points.shape[1], key=key)
        lhs = _lhs(pde, estimator, field, points, drawn)
        return jnp.mean((lhs - jax.vmap(pde.source)(points)) ** 2)


class UnbiasedResidual(AbstractLoss):
    """mean (L_J u - f)(L_K u - f) with independent draws J and K.

    Loss and gradient are unbiased estimates of those of the exact residual loss
    ([STDE] section 4.1). A single value may be negative.
    """

    def __call__(
        self,
        pde: AbstractPDE,
        estimator: AbstractEstimator,
        field: ScalarField,
        points: Points,
        *,
        key: PRNGKey,
    ) -> Scalar:
        source = jax.vmap(pde.source)(points)
        first, second = (
            _lhs(pde, estimator, field, points, drawn) - source
            for drawn in (
                estimator.draw(pde.operators, points.shape[1], key=k) for k in jax.random.split(key)
            )
        )
        return jnp.mean(first * second)


def _lhs(
    pde: AbstractPDE,
    estimator: AbstractEstimator,
    field: ScalarField,
    points: Points,
    drawn: PyTree,
) -> Values:
    def at(x: jax.Array) -> Scalar:
        u, derivatives = estimator(field, pde.operators, x, drawn)
        return pde.lhs(x, u, derivatives)

    return jax.vmap(at)(points)
