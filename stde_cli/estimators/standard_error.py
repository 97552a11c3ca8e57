import equinox as eqx
import jax
import jax.numpy as jnp

from stde_cli.estimators.base import AbstractEstimator
from stde_cli.problem.operators import AbstractOperator
from stde_cli.system.types import Point, PRNGKey, Scalar, ScalarField


@eqx.filter_jit
def mean_and_standard_error(
    estimator: AbstractEstimator,
    field: ScalarField,
    operator: AbstractOperator,
    x: Point,
    *,
    draws: int,
    key: PRNGKey,
) -> tuple[Scalar, Scalar]:
    """The mean of `draws` independent estimates at x, and that mean's standard error.

    Independent repetition measures every sampler alike; one stratified draw could not estimate its
    own variance. The error of a single estimate is sqrt(draws) times the one returned.
    """

    def estimate(key: PRNGKey) -> Scalar:
        drawn = estimator.draw({"value": operator}, x.size, key=key)
        return estimator(field, {"value": operator}, x, drawn)[1]["value"]

    estimates = jax.vmap(estimate)(jax.random.split(key, draws))
    return jnp.mean(estimates), jnp.std(estimates, ddof=1) / jnp.sqrt(draws)
