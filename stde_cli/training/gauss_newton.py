"""Gauss-Newton on all parameters at once, as a transformation of optax."""

from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Int

from stde_cli.system.ranges import Count, Positive
from stde_cli.system.types import Parameters, Scalar
from stde_cli.training.damped_steps import (
    AbstractDampedStep,
    InParameters,
    InSamples,
    MatrixFree,
    Unknowns,
)
from stde_cli.training.residuals import Residuals

_FACTOR = 3.0
"""By which the damping changes."""
_GOOD = 0.1
"""What has been gained by a step, in units of what the linear model promised."""
_TRIALS = 6
_LARGEST = 1e12
"""A damping, in units of |J^T r|^2 / |r|^2."""
_MOST_NUMBERS = 2.5e8
"""Of a Jacobian that is held: 2 GB."""

Form: TypeAlias = Literal["auto", "parameters", "samples", "matrix_free"]


class GaussNewtonState(NamedTuple):
    damping: Scalar
    """Of the next step's first trial; 0 before the first step."""


class GaussNewton(optax.GradientTransformationExtraArgs):
    """What minimises a sum of squares, and asks for what is squared."""


class _Trial(NamedTuple):
    number: Int[Array, ""]
    damping: Scalar
    step: Unknowns
    gained: Scalar
    """In units of what was promised; not above 0 where the loss does not fall."""


def gauss_newton(
    form: Form = "auto", damping: Positive = 1e-3, iterations: Count = 200
) -> GaussNewton:
    """Levenberg-Marquardt: the step d of least |r + J d|^2 + l |d|^2, taken where |r|^2 falls.

    The damping l is a third of what it was after a step that gained a tenth of what the linear
    model promised, and three times that for another trial where the loss does not fall. So long
    steps are taken, where the model is poor: textbooks ask for a quarter to three quarters
    (Nocedal and Wright, "Numerical Optimization", 2006, chapters 4 and 10), and need more steps
    here ("An Optimisation Framework for the Well-Conditioned Training of Physics-Informed Neural
    Networks", 2026, arXiv 2607.02194, which aims at 0.075).

    Parameters are damped alike. To damp them by the lengths of J's columns, Marquardt's choice, is
    invariant to their units, and takes many times the steps here.

    Args:
        form: the system solved is as large as there are parameters, or residuals; auto takes the
            smaller, and neither where J would take more than 2 GB.
        damping: before the first step, in units of |J^T r|^2 / |r|^2.
        iterations: of conjugate gradients, a trial, where the form is matrix_free.
    """

    def init(params: optax.Params) -> GaussNewtonState:
        return GaussNewtonState(jnp.zeros(()))

    def update(
        updates: optax.Updates, state: Any, params: optax.Params | None = None, **beside: Any
    ) -> tuple[optax.Updates, GaussNewtonState]:
        if "residuals" not in beside:
            raise ValueError(
                "asks for what the loss is a sum of squares of, which a chain does not tell it"
            )
        residuals, loss = beside["residuals"], beside["value_fn"]
        at, unravel = ravel_pytree(params)
        damped = _damped_step(form, residuals, params, iterations)
        old = jnp.sum(damped.residuals**2)
        size = jnp.sum(damped.slope() ** 2) / jnp.where(old > 0, old, 1.0)
        start = jnp.where(state.damping > 0, state.damping, damping * size)

        def unfinished(trial: _Trial) -> Bool[Array, ""]:
            return ~(trial.gained > 0) & (trial.number < _TRIALS)

        def attempt(trial: _Trial) -> _Trial:
            size = jnp.where(trial.number > 0, _FACTOR * trial.damping, trial.damping)
            step = damped(size)
            new = loss(unravel(at + step))
            # What is promised is rounding where little is left, and of either sign.
            gained = (old - new) / jnp.abs(old - damped.promised(step))
            return _Trial(trial.number + 1, size, step, gained)

        zero = jnp.zeros((), jnp.int32)
        trial = lax.while_loop(
            unfinished, attempt, _Trial(zero, start, jnp.zeros_like(at), jnp.zeros(()))
        )
        step = jnp.where(trial.gained > 0, trial.step, 0.0)
        after = jnp.where(trial.gained > _GOOD, trial.damping / _FACTOR, trial.damping)
        # Where nothing is left to gain, every step is refused.
        return unravel(step), GaussNewtonState(jnp.minimum(after, _LARGEST * size))

    return GaussNewton(init, update)


def _damped_step(
    form: Form, residuals: Residuals, parameters: Parameters, iterations: int
) -> AbstractDampedStep:
    if form == "auto":
        rows = jax.eval_shape(residuals, parameters).size
        unknowns = sum(leaf.size for leaf in jax.tree.leaves(parameters))
        smaller = "parameters" if unknowns <= rows else "samples"
        form = smaller if rows * unknowns <= _MOST_NUMBERS else "matrix_free"
    match form:
        case "parameters":
            return InParameters(residuals, parameters)
        case "samples":
            return InSamples(residuals, parameters)
        case "matrix_free":
            return MatrixFree(residuals, parameters, iterations)
