"""Where the equation is asked for: the interior points of a step."""

import math
from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp

from stde_cli.estimators import AbstractEstimator
from stde_cli.problem.pdes import AbstractPDE
from stde_cli.system.ranges import Count, NonNegative
from stde_cli.system.types import Point, Points, PRNGKey, Scalar, ScalarField


class AbstractCollocation(eqx.Module):
    """Chooses the points of a step. The loss is not differentiated through the choice."""

    @abstractmethod
    def __call__(
        self,
        pde: AbstractPDE,
        estimator: AbstractEstimator,
        field: ScalarField,
        points: int,
        *,
        key: PRNGKey,
    ) -> Points: ...


class Uniform(AbstractCollocation):
    """As the domain draws them, whatever the field."""

    def __call__(
        self,
        pde: AbstractPDE,
        estimator: AbstractEstimator,
        field: ScalarField,
        points: int,
        *,
        key: PRNGKey,
    ) -> Points:
        return pde.domain.sample_interior(points, key=key)


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
        self,
        pde: AbstractPDE,
        estimator: AbstractEstimator,
        field: ScalarField,
        points: int,
        *,
        key: PRNGKey,
    ) -> Points:
        points_key, draw_key, choice_key = jax.random.split(key, 3)
        x = pde.domain.sample_interior(self.candidates * points, key=points_key)
        drawn = estimator.draw(pde.operators, pde.domain.dim, key=draw_key)

        def residual(y: Point) -> Scalar:
            return pde.residual(y, *estimator(field, pde.operators, y, drawn))

        sizes = jnp.abs(jax.vmap(residual)(x)) ** self.power
        density = sizes + self.floor * jnp.mean(sizes)
        # Where all residuals vanish this is 0/0, and the first points are taken.
        density = density / jnp.sum(density)
        return jax.random.choice(choice_key, x, (points,), replace=False, p=density)
