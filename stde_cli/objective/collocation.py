"""Where the equation is asked for: the interior points of a step."""

import math
from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp

from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.system.ranges import Count, NonNegative
from stde_cli.system.types import Points, PRNGKey, ScalarField


class AbstractCollocation(eqx.Module):
    """Chooses the points of a step. The loss is not differentiated through the choice."""

    @abstractmethod
    def __call__(
        self, residual: SampledResidual, field: ScalarField, points: int, *, key: PRNGKey
    ) -> Points: ...


class Uniform(AbstractCollocation):
    """As the domain draws them, whatever the field."""

    def __call__(
        self, residual: SampledResidual, field: ScalarField, points: int, *, key: PRNGKey
    ) -> Points:
        return residual.pde.domain.sample_interior(points, key=key)


class ByResidual(AbstractCollocation):
    """More points where the residual R is large.

    `candidates` times as many points are drawn as are wanted, R is estimated at each with one draw
    of directions, and points are taken without repetition with probabilities proportional to

        |R|^power / mean |R|^power + floor

    (RAD: Wu, Zhu, Tan, Kartha, Lu, "A comprehensive study of non-adaptive and residual-based
    adaptive sampling for physics-informed neural networks", 2023). The loss draws directions of its
    own, so that the noise by which a point was chosen is not the noise it is judged by.

    As published, nothing is reweighted: the loss is the mean square over the chosen density, which
    lies nearer to the largest residual, and is larger than over the domain's own. To divide by the
    density would restore the mean square over the domain, and with it what a uniform choice
    minimises; the point is to minimise another. Both vanish with R.

    Args:
        candidates: points looked at for each that is taken.
        power: of |R|; 0 is a uniform choice.
        floor: what every candidate has beside its share; the larger, the nearer to uniform.
    """

    candidates: Count = eqx.field(static=True, default=4)
    power: NonNegative = 1.0
    floor: NonNegative = 1.0

    def __check_init__(self) -> None:
        if self.candidates < 1:
            raise ValueError(f"candidates={self.candidates} must be 1 or more")
        for name, value in (("power", self.power), ("floor", self.floor)):
            if not 0 <= value < math.inf:
                raise ValueError(f"{name}={value} must be 0 or more")

    def __call__(
        self, residual: SampledResidual, field: ScalarField, points: int, *, key: PRNGKey
    ) -> Points:
        points_key, draw_key, choice_key = jax.random.split(key, 3)
        x = residual.pde.domain.sample_interior(self.candidates * points, key=points_key)
        sizes = jnp.abs(residual.at(field, x, residual.draw(key=draw_key))) ** self.power
        density = sizes + self.floor * jnp.mean(sizes)
        # Where all residuals vanish this is 0/0, and the first points are taken.
        density = density / jnp.sum(density)
        return jax.random.choice(choice_key, x, (points,), replace=False, p=density)
