from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PyTree

from stde_cli.ansatz.hard_constraint import without_network
from stde_cli.ansatz.ridge import RidgePolynomials
from stde_cli.objective.losses import residual_and_gradient
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.operators import KnowsLaplacian
from stde_cli.system.types import PRNGKey, Scalar
from stde_cli.training.least_squares import gauss_newton
from stde_cli.training.start.base import Units
from stde_cli.training.start.ridge import spread

Unknowns = TypeVar("Unknowns")
PLENTY = 4
"""Points for each unknown, from which on the residuals' gradients are not needed."""
_GRADIENT_WEIGHT = 30.0
"""Residuals at few points can be interpolated by way of many unknowns; their gradients cannot."""


class Misfit(eqx.Module):
    """The residuals of equation and conditions, in units in which their squares are the loss."""

    residual: SampledResidual
    units: Units
    ridge: RidgePolynomials | None = None
    """Points are spread along its directions."""

    def __call__(
        self, guess: KnowsLaplacian, points: int, *, gradients: bool = False, key: PRNGKey
    ) -> PyTree[Array]:
        """At so many fresh points; with the residuals' gradients where that is asked for."""
        residual, pde = self.residual, self.residual.pde
        points_key, draw_key, conditions_key = jax.random.split(key, 3)
        field = without_network(pde.constraint, guess, pde.lift)
        x = spread(pde.domain, self.ridge, points, key=points_key)
        drawn = residual.draw(key=draw_key)
        if gradients:
            values, slopes = residual_and_gradient(
                lambda y: residual(field, y, drawn), x, pde.domain
            )
            found = values, _GRADIENT_WEIGHT**0.5 * slopes
        else:
            found = (residual.at(field, x, drawn) / points**0.5,)
        parts = [part / jnp.sqrt(self.units.loss) for part in found]
        keys = jax.random.split(conditions_key, len(pde.conditions))
        for asked, own_key in zip(residual.conditions, keys, strict=True):
            found = asked.fresh(field, points, key=own_key)
            factor = jnp.sqrt(asked.condition.weight / len(found) / self.units.conditions)
            parts.append(factor * found)
        return parts


def improved(
    misfit: Misfit,
    guess: Callable[[Unknowns], KnowsLaplacian],
    at: Unknowns,
    points: int,
    iterations: int,
    *,
    gradients: bool,
    key: PRNGKey,
) -> Unknowns:
    """By a Gauss-Newton step at fresh points; `at` where that does not help at others.

    Args:
        gradients: whether the residuals' gradients are fitted too.
    """
    fit_key, probe_key, check_key = jax.random.split(key, 3)

    def residuals(at: Unknowns) -> PyTree[Array]:
        return misfit(guess(at), points, gradients=gradients, key=fit_key)

    new = gauss_newton(residuals, at, iterations, key=probe_key)
    return better(misfit, guess, at, new, points, key=check_key)


def better(
    misfit: Misfit,
    guess: Callable[[Unknowns], KnowsLaplacian],
    old: Unknowns,
    new: Unknowns,
    points: int,
    *,
    key: PRNGKey,
) -> Unknowns:
    """The new, if its misfit at fresh points is less."""
    before, after = lax.map(
        lambda each: _square(misfit(guess(each), points, key=key)),
        jax.tree.map(lambda *each: jnp.stack(each), old, new),
    )
    return jax.tree.map(lambda old, new: jnp.where(after < before, new, old), old, new)


def _square(parts: PyTree[Array]) -> Scalar:
    return sum((jnp.sum(part**2) for part in jax.tree.leaves(parts)), jnp.zeros(()))
