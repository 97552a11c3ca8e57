from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from stde_cli.ansatz.hard_constraint import trained
from stde_cli.objective.losses import (
    AbstractSumOfSquares,
    condition_loss,
    condition_squares,
)
from stde_cli.system.types import Scalar
from stde_cli.training.gauss_newton import GaussNewton
from stde_cli.training.residuals import Residuals
from stde_cli.training.state import Problem, TrainerState


def training_step(problem: Problem, state: TrainerState) -> tuple[TrainerState, Scalar]:
    """One step of the optimizer; the loss is that before the step.

    Points and directions are fresh, or those of `redraw_every` steps. An optimizer that asks for
    the loss elsewhere, as a line search does, asks at these same ones. A pure function of
    (problem, state).
    """
    residual, units = problem.residual, state.units
    conditions, count = residual.pde.conditions, problem.condition_points
    step_key = jax.random.fold_in(problem.key, state.step // problem.redraw_every)
    points_key, loss_key, conditions_key = jax.random.split(step_key, 3)
    points = problem.collocation(residual, state.ansatz, problem.points, key=points_key)
    parameters, static = eqx.partition(state.ansatz, trained(state.ansatz))

    def equation(parameters: PyTree) -> Scalar:
        field = eqx.combine(parameters, static)
        return problem.loss(residual, field, points, key=loss_key) / units.loss

    def condition(number: int, parameters: PyTree) -> Scalar:
        field = eqx.combine(parameters, static)
        squares = condition_squares(residual, number, count, key=conditions_key)
        return squares.sum(field) / units.conditions

    def gradient_norms() -> Float[Array, " terms"]:
        terms = [equation, *(partial(condition, number) for number in range(len(conditions)))]
        return jnp.stack([optax.global_norm(jax.grad(term)(parameters)) for term in terms])

    weights = state.weights
    if conditions:
        weights = problem.weighting(weights, state.step, gradient_norms)

    def loss(parameters: PyTree) -> Scalar:
        value = equation(parameters)
        if not conditions:
            return value
        field = eqx.combine(parameters, static)
        beside = condition_loss(residual, field, count, weights, key=conditions_key)
        return value + beside / units.conditions

    def residuals() -> Residuals:
        assert isinstance(problem.loss, AbstractSumOfSquares), "refused where it was configured"
        own = problem.loss.squares(residual, points, key=loss_key)
        parts = [(own, 1 / units.loss)]
        for number, condition in enumerate(conditions):
            squares = condition_squares(residual, number, count, key=conditions_key)
            weight = condition.weight if weights is None else condition.weight * weights[number]
            parts.append((squares, weight / units.conditions))
        return Residuals(tuple(parts), static)

    value, gradient = jax.value_and_grad(loss)(parameters)
    optimizer = optax.with_extra_args_support(problem.optimizer(problem.schedule))
    beside = {"value": value, "grad": gradient, "value_fn": loss}
    if isinstance(optimizer, GaussNewton):
        beside["residuals"] = residuals()
    updates, optimizer_state = optimizer.update(
        gradient, state.optimizer_state, parameters, **beside
    )
    ansatz = eqx.combine(eqx.apply_updates(parameters, updates), static)
    return TrainerState(state.step + 1, ansatz, optimizer_state, units, weights), value
