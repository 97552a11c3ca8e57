"""Where a PDE, an estimator and a field meet: scalars to minimise."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from stde_cli._types import Points, PRNGKey, Scalar, ScalarField, Values
from stde_cli.estimators import AbstractEstimator
from stde_cli.pdes import AbstractCondition, AbstractPDE


class AbstractLoss(eqx.Module):
    """A scalar that is least, in expectation, where the field solves the PDE."""

    @abstractmethod
    def __call__(
        self,
        pde: AbstractPDE,
        estimator: AbstractEstimator,
        field: ScalarField,
        points: Points,
        *,
        key: PRNGKey,
    ) -> Scalar: ...


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


class GradientEnhanced(AbstractLoss):
    """mean R^2 + weight/dim mean |grad R|^2, with one draw of directions.

    Each point then says something of every coordinate, for one reverse pass through the restricted
    field and the source (gPINN: Yu et al. 2022; [STDE] section 5.4 samples components instead).
    The gradient of a residual of order 1 that varies with the coordinates alike has a square of
    order dim: divided by it, a weight of 1 suits every dimension.
    """

    weight: float = 1.0

    def __call__(
        self,
        pde: AbstractPDE,
        estimator: AbstractEstimator,
        field: ScalarField,
        points: Points,
        *,
        key: PRNGKey,
    ) -> Scalar:
        dim = points.shape[1]
        drawn = estimator.draw(pde.operators, dim, key=key)

        def residual(x: jax.Array) -> Scalar:
            return pde.residual(x, *estimator(field, pde.operators, x, drawn))

        values, gradients = jax.vmap(jax.value_and_grad(residual))(points)
        return jnp.mean(values**2) + self.weight / dim * jnp.mean(jnp.sum(gradients**2, axis=1))


def condition_loss(
    pde: AbstractPDE,
    estimator: AbstractEstimator,
    field: ScalarField,
    points: int,
    *,
    key: PRNGKey,
) -> Scalar:
    """sum over the PDE's conditions of weight * mean residual^2, on `points` fresh points each."""
    total = jnp.zeros(())
    for number, condition in enumerate(pde.conditions):
        points_key, draw_key = jax.random.split(jax.random.fold_in(key, number))
        x = condition.sample(points, key=points_key)
        residual = condition_residuals(condition, estimator, field, x, key=draw_key)
        total = total + condition.weight * jnp.mean(residual**2)
    return total


def condition_residuals(
    condition: AbstractCondition,
    estimator: AbstractEstimator,
    field: ScalarField,
    points: Points,
    *,
    key: PRNGKey,
) -> Values:
    """The residual of one condition at each point."""
    drawn = estimator.draw(condition.operators, points.shape[1], key=key)

    def at(x: jax.Array) -> Scalar:
        return condition.residual(x, *estimator(field, condition.operators, x, drawn))

    return jax.vmap(at)(points)


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
