import equinox as eqx
import jax

from stde_cli._types import Scalar
from stde_cli.ansatz import trained
from stde_cli.losses import condition_loss
from stde_cli.training.state import Problem, TrainerState


def training_step(problem: Problem, state: TrainerState) -> tuple[TrainerState, Scalar]:
    """One step of the optimizer on fresh points and directions; the loss is that before the step.

    A pure function of (problem, state).
    """
    step_key = jax.random.fold_in(problem.key, state.step)
    points_key, loss_key = jax.random.split(step_key)
    points = problem.pde.domain.sample_interior(problem.points, key=points_key)
    parameters, static = eqx.partition(state.ansatz, trained(state.ansatz))

    def loss(parameters) -> Scalar:
        field = eqx.combine(parameters, static)
        pde, estimator, units = problem.pde, problem.estimator, problem.units
        value = problem.loss(pde, estimator, field, points, key=loss_key) / units.loss
        if not pde.conditions:
            return value
        # A third key, so that problems without conditions draw as they always have.
        key = jax.random.fold_in(step_key, 2)
        beside = condition_loss(pde, estimator, field, problem.condition_points, key=key)
        return value + beside / units.conditions

    value, gradient = jax.value_and_grad(loss)(parameters)
    updates, optimizer_state = problem.optimizer.update(gradient, state.optimizer_state, parameters)
    ansatz = eqx.combine(eqx.apply_updates(parameters, updates), static)
    return TrainerState(state.step + 1, ansatz, optimizer_state), value
