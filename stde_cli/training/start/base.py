from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp

from stde_cli.ansatz.guess import Guess, no_guess
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.system.types import PRNGKey, Scalar


class Units(eqx.Module):
    """The loss of the equation is divided by `loss`, that of the conditions by `conditions`."""

    loss: Scalar
    conditions: Scalar


class Start(NamedTuple):
    """The ansatz is lift + constraint * (guess + scale * network).

    Attributes:
        silent: whether the network's output starts at zero, so that training starts at the guess.
    """

    guess: Guess
    scale: Scalar
    units: Units
    silent: bool = False


class AbstractStart(eqx.Module):
    """Chooses where a problem starts, and its units."""

    @abstractmethod
    def __call__(self, residual: SampledResidual, points: int, *, key: PRNGKey) -> Start: ...


class FromNetwork(AbstractStart):
    """u = constraint * network as it is drawn, and the loss as it is, as published."""

    def __call__(self, residual: SampledResidual, points: int, *, key: PRNGKey) -> Start:
        units = Units(loss=jnp.ones(()), conditions=jnp.ones(()))
        return Start(no_guess(residual.pde.constraint), jnp.ones(()), units)
