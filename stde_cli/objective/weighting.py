"""How much each condition counts in the loss beside the equation, as training goes on."""

from abc import abstractmethod
from collections.abc import Callable
from typing import TypeAlias

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from stde_cli.system.ranges import Count, ProperFraction

Weights: TypeAlias = Float[Array, " conditions"]


class AbstractWeighting(eqx.Module):
    """Factors of the conditions' losses, on top of the weights that the conditions have themselves.

    The equation's loss counts once.
    """

    @abstractmethod
    def initial(self, conditions: int) -> Weights | None:
        """The factors before the first step; None where they are 1 and stay so."""

    @abstractmethod
    def __call__(
        self,
        weights: Weights | None,
        step: Int[Array, ""],
        gradient_norms: Callable[[], Float[Array, " terms"]],
    ) -> Weights | None:
        """The factors of this step.

        Args:
            weights: those of the step before.
            step: the steps done.
            gradient_norms: of the equation's loss and then of each condition's, without weights and
                factors. They cost a gradient each where they are asked for.
        """


class Fixed(AbstractWeighting):
    """The conditions' own weights alone."""

    def initial(self, conditions: int) -> None:
        return None

    def __call__(
        self,
        weights: Weights | None,
        step: Int[Array, ""],
        gradient_norms: Callable[[], Float[Array, " terms"]],
    ) -> Weights | None:
        return weights


class ByGradientNorm(AbstractWeighting):
    """A moving average of |grad of the equation's loss| / |grad of the condition's loss|.

    So every condition pulls on the parameters as hard as the equation does, times its own weight.
    A condition without a gradient keeps its factor.

    These are the weights of Wang, Sankaran, Wang, Perdikaris, "An expert's guide to training
    physics-informed neural networks" (2023), (sum of all norms) / norm, divided by that of the
    equation; after Wang, Teng, Perdikaris, "Understanding and mitigating gradient flow pathologies
    in physics-informed neural networks" (2021).

    Args:
        every: steps between updates; those in between cost nothing.
        decay: the share of the old factor that an update keeps.
    """

    every: Count = eqx.field(static=True, default=10)
    decay: ProperFraction = 0.9

    def __check_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every={self.every} must be 1 or more")
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay={self.decay} must be at least 0 and below 1")

    def initial(self, conditions: int) -> Weights:
        return jnp.ones(conditions)

    def __call__(
        self,
        weights: Weights | None,
        step: Int[Array, ""],
        gradient_norms: Callable[[], Float[Array, " terms"]],
    ) -> Weights | None:
        def updated(weights: Weights) -> Weights:
            norms = gradient_norms()
            found = norms[0] / norms[1:]
            found = jnp.where(jnp.isfinite(found), found, weights)
            return self.decay * weights + (1 - self.decay) * found

        return lax.cond(step % self.every == 0, updated, lambda weights: weights, weights)
