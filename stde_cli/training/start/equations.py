"""The equation and its conditions at points that stay: what a dense least squares fit is of."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stde_cli.ansatz.hard_constraint import without_network
from stde_cli.ansatz.ridge import RidgePolynomials
from stde_cli.objective.sampled_residual import SampledCondition, SampledResidual
from stde_cli.problem.operators import KnowsLaplacian
from stde_cli.problem.pdes import AbstractPDE
from stde_cli.system.types import Point, Points, PRNGKey, Scalar, ScalarField
from stde_cli.training.levenberg_marquardt import Linearised, Unknowns
from stde_cli.training.linearisation import values_and_slopes
from stde_cli.training.start.base import Units
from stde_cli.training.start.ridge import spread

Pointwise: TypeAlias = Callable[[KnowsLaplacian, Point], Float[Array, " components"]]


class Equations(eqx.Module):
    """The equation and the conditions at points of theirs, in the units of the loss.

    Args:
        points: of the equation, and of each condition that does not say how many.
        held_out: as many again, of which only residuals are known.
        ridge: the equation's points are spread along its directions.
    """

    residual: SampledResidual
    units: Units
    points: tuple[Points, ...]
    """Of the equation, and of each condition."""
    held_out: tuple[Points, ...]

    def __init__(
        self,
        residual: SampledResidual,
        units: Units,
        points: tuple[int, int],
        held_out: tuple[int, int],
        *,
        ridge: RidgePolynomials | None = None,
        key: PRNGKey,
    ):
        self.residual, self.units = residual, units
        points_key, held_out_key = jax.random.split(key)
        self.points = _sampled(residual.pde, ridge, *points, key=points_key)
        self.held_out = _sampled(residual.pde, ridge, *held_out, key=held_out_key)

    def linearised(self, guess: Callable[[Unknowns], KnowsLaplacian], at: Unknowns) -> Linearised:
        """Of guess(at): a reverse pass a residual."""
        fitted, slopes, others = [], [], []
        for (residual, weight), points, held_out in zip(
            self._residuals(), self.points, self.held_out, strict=True
        ):

            def of_unknowns(u: Unknowns, x: Point, residual: Pointwise = residual) -> Array:
                return residual(guess(u), x)

            count = len(points)
            value, slope = values_and_slopes(of_unknowns, at, jnp.concatenate([points, held_out]))
            factor = jnp.sqrt(weight / count)
            fitted.append(factor * value[:count].ravel())
            slopes.append(factor * slope[:count].reshape(-1, at.size))
            others.append(jnp.sqrt(weight / len(held_out)) * value[count:].ravel())
        return Linearised(*map(jnp.concatenate, (fitted, slopes, others)))

    def _residuals(self) -> Iterator[tuple["Pointwise", Scalar]]:
        """Components of a residual at a point, and the weight of their mean square."""
        residual = self.residual
        # Nothing is drawn for what is exact.
        no_key = jax.random.key(0)

        def equation(guess: KnowsLaplacian, x: Point) -> Float[Array, " components"]:
            return residual.at(self._ansatz(guess), x[None], residual.draw(key=no_key))

        yield equation, 1 / self.units.loss
        for asked in residual.conditions:

            def condition(
                guess: KnowsLaplacian, x: Point, asked: SampledCondition = asked
            ) -> Float[Array, " components"]:
                return asked.at(self._ansatz(guess), x[None], key=no_key).ravel()

            yield condition, asked.condition.weight / self.units.conditions

    def _ansatz(self, guess: KnowsLaplacian) -> ScalarField:
        pde = self.residual.pde
        return without_network(pde.constraint, guess, pde.lift)


def _sampled(
    pde: AbstractPDE,
    ridge: RidgePolynomials | None,
    points: int,
    of_conditions: int,
    *,
    key: PRNGKey,
) -> tuple[Points, ...]:
    points_key, *keys = jax.random.split(key, 1 + len(pde.conditions))
    return (
        spread(pde.domain, ridge, points, key=points_key),
        *(
            c.sample(c.points or of_conditions, key=k)
            for c, k in zip(pde.conditions, keys, strict=True)
        ),
    )
