import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from stde_cli.ansatz.hard_constraint import without_network
from stde_cli.ansatz.ridge import RidgePolynomials
from stde_cli.objective.losses import residual_and_gradient
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.operators import KnowsLaplacian
from stde_cli.system.types import PRNGKey
from stde_cli.training.start.base import Units
from stde_cli.training.start.ridge import spread

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
