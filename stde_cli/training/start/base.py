from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from stde_cli.ansatz.guess import no_guess
from stde_cli.ansatz.hard_constraint import shifted
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.operators import Drift, GradientNorm, KnowsLaplacian, Laplacian, partial_sum
from stde_cli.problem.pdes import AbstractPDE
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

    guess: KnowsLaplacian
    scale: Scalar
    units: Units
    silent: bool = False


def with_units(
    residuals: Callable[[KnowsLaplacian], PyTree[Array]], guess: KnowsLaplacian, first: Start
) -> Start:
    """Start at `guess`, in units of what is left there of the residuals; else as `first`.

    The network's unit is that by which it could mend them: sqrt(|r|^2 / |dr/ds|^2), where s is
    added to the guess.

    Args:
        residuals: of a guess, in the units of `first`.
    """

    def of_shift(shift: Scalar) -> PyTree[Array]:
        return residuals(shifted(guess, shift))

    def square(parts: PyTree[Array]) -> Scalar:
        return sum((jnp.sum(part**2) for part in jax.tree.leaves(parts)), jnp.zeros(()))

    left, slope = map(square, jax.jvp(of_shift, (jnp.zeros(()),), (jnp.ones(()),)))
    # Where a constant is seen nowhere, as in a Laplacian on a torus, by as much as is left.
    remaining = jnp.sqrt(jnp.where(slope > 0, left / slope, first.scale**2 * left))
    usable = jnp.isfinite(remaining) & (remaining > 0)
    return Start(
        guess,
        scale=jnp.where(usable, remaining, first.scale),
        units=jax.tree.map(lambda unit: jnp.where(usable, left, 1.0) * unit, first.units),
        silent=first.silent,
    )


def is_exact_in_one_pass(pde: AbstractPDE) -> bool:
    """Whether every operator on a guess costs O(dim) without sampling."""
    kinds = Laplacian | GradientNorm | Drift
    return all(isinstance(o, kinds) or partial_sum(o) is not None for o in pde.operators.values())


class AbstractStart(eqx.Module):
    """Chooses where a problem starts, and its units."""

    @abstractmethod
    def __call__(self, residual: SampledResidual, points: int, *, key: PRNGKey) -> Start: ...


class FromNetwork(AbstractStart):
    """u = constraint * network as it is drawn, and the loss as it is, as published."""

    def __call__(self, residual: SampledResidual, points: int, *, key: PRNGKey) -> Start:
        units = Units(loss=jnp.ones(()), conditions=jnp.ones(()))
        return Start(no_guess(residual.pde.constraint), jnp.ones(()), units)
