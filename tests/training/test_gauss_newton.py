"""Gauss–Newton on all parameters: three forms of a step, its damping, and what it minimises."""

import dataclasses
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from stde_cli.config.build import build
from stde_cli.objective.losses import Squares
from stde_cli.system.types import Point, Scalar
from stde_cli.training.damped_steps import AbstractDampedStep, InParameters, InSamples, MatrixFree
from stde_cli.training.gauss_newton import GaussNewton, GaussNewtonState, gauss_newton
from stde_cli.training.residuals import Residuals
from stde_cli.training.step import training_step
from tests.config.test_build import composed
from tests.helpers import tree_allclose

RANDOM = np.random.default_rng(0)


class Waves(eqx.Module):
    """readout . sin(inner x), 12 parameters; or, without its sine, linear in `readout` alone."""

    readout: Float[Array, "3"]
    inner: Float[Array, "3 3"]
    linear: bool = eqx.field(static=True, default=False)

    def __call__(self, x: Point) -> Scalar:
        if self.linear:
            return self.readout @ x
        return self.readout @ jnp.sin(self.inner @ x)


def waves(*, linear: bool = False) -> Waves:
    readout, inner = RANDOM.standard_normal(3), RANDOM.standard_normal((3, 3))
    return Waves(jnp.asarray(readout), jnp.asarray(inner), linear)


def residuals_of(field: Waves, points: int) -> tuple[Residuals, Waves]:
    """Two parts of unlike weights, one of them with two terms a point."""
    parameters, static = eqx.partition(field, eqx.is_array)

    def squares(terms, count: int) -> Squares:
        return Squares(jnp.asarray(RANDOM.standard_normal((count, 3))), terms)

    first = squares(lambda field, x: field(x) - jnp.cos(x[0]), points)
    second = squares(lambda field, x: (field(x), field(2 * x)[None]), 2)
    return Residuals(((first, jnp.array(0.7)), (second, jnp.array(3.0))), static), parameters


def flat(tree) -> Array:
    return ravel_pytree(tree)[0]


def test_rows_are_the_derivatives_of_the_residuals(float64: None) -> None:
    # More points than are taken at once, and no multiple of them.
    residuals, at = residuals_of(waves(), 70)
    values, slopes = jax.jit(lambda p: residuals.linearised(p))(at)
    np.testing.assert_allclose(values, jax.jit(lambda p: residuals(p))(at))
    _, unravel = ravel_pytree(at)
    expected = jax.jit(jax.jacfwd(lambda p: residuals(unravel(p))))(flat(at))
    np.testing.assert_allclose(slopes, expected, atol=1e-14)


@pytest.mark.parametrize("points", [4, 30], ids=["fewer residuals", "more residuals"])
def test_three_forms_are_one_step(points: int, float64: None) -> None:
    residuals, at = residuals_of(waves(), points)
    values, slopes = jax.jit(lambda p: residuals.linearised(p))(at)
    for form in (InParameters, InSamples, partial(MatrixFree, iterations=200)):

        @jax.jit
        def taken(damping, form=form):
            damped = form(residuals, at)
            step = damped(damping)
            return step, damped.slope(), damped.promised(step)

        for damping in (1e-4, 1e-1):
            below = np.sqrt(damping) * np.eye(12)
            right = np.concatenate([-values, np.zeros(12)])
            expected = np.linalg.lstsq(np.concatenate([slopes, below]), right)[0]
            step, slope, promised = taken(jnp.asarray(damping))
            np.testing.assert_allclose(step, expected, rtol=1e-5, atol=1e-8)
            np.testing.assert_allclose(slope, slopes.T @ values, atol=1e-12)
            np.testing.assert_allclose(promised, np.sum((values + slopes @ step) ** 2))


def update(residuals, at, *, loss=None, state=None, **settings: Any) -> tuple[Any, Any]:
    """One step, and what is kept for the next."""
    optimizer = gauss_newton(**settings)

    @eqx.filter_jit
    def step(at, state):
        found = loss or (lambda p: jnp.sum(residuals(p) ** 2))
        return optimizer.update(at, state, at, residuals=residuals, value_fn=found)

    return step(at, optimizer.init(at) if state is None else state)


@pytest.mark.parametrize("form", ["parameters", "samples", "matrix_free"])
def test_a_linear_problem_takes_one_step(form: str, float64: None) -> None:
    residuals, at = residuals_of(waves(linear=True), 20)
    step, state = update(residuals, at, form=form, damping=1e-8)
    after = eqx.apply_updates(at, step)
    values, slopes = residuals.linearised(after)
    np.testing.assert_allclose(values @ slopes, 0.0, atol=1e-5)
    # All that was promised is gained: the next step is damped less.
    first = 1e-8 * jnp.sum(InParameters(residuals, at).slope() ** 2) / jnp.sum(residuals(at) ** 2)
    np.testing.assert_allclose(state.damping, first / 3)
    # What the residuals do not see stays as it is.
    np.testing.assert_allclose(step.inner, 0.0, atol=1e-12)


def test_the_loss_falls_or_nothing_is_changed(float64: None) -> None:
    residuals, at = residuals_of(waves(), 30)
    _, first = update(residuals, at)
    step, refused = update(residuals, at, state=first, loss=lambda _: jnp.array(jnp.nan))
    assert not flat(step).any()
    # Of six trials each is damped three times as much as that before.
    np.testing.assert_allclose(refused.damping, 3**5 * first.damping)
    before = at
    optimizer = gauss_newton()

    def loss(p):
        return jnp.sum(residuals(p) ** 2)

    def descend(carry, _):
        at, state = carry
        step, state = optimizer.update(at, state, at, residuals=residuals, value_fn=loss)
        at = eqx.apply_updates(at, step)
        return (at, state), loss(at)

    (at, _), losses = jax.jit(lambda at: jax.lax.scan(descend, (at, first), length=20))(at)
    assert (np.diff([loss(before), *losses]) <= 0).all()
    assert losses[-1] < 0.9 * loss(before)


def test_a_promise_that_is_rounding_makes_no_step_of_a_loss_that_rises(
    monkeypatch, float64: None
) -> None:
    residuals, at = residuals_of(waves(linear=True), 20)

    def more(damped: AbstractDampedStep, step: Array) -> Array:
        return 1.01 * jnp.sum(damped.residuals**2)

    monkeypatch.setattr(AbstractDampedStep, "promised", more)
    step, _ = update(residuals, at, loss=lambda p: 1.1 * jnp.sum(residuals(at) ** 2))
    assert not flat(step).any()


def test_where_nothing_is_left_nothing_is_changed(float64: None) -> None:
    """Nor is the damping beyond use when there is something again."""
    exact = waves(linear=True)
    points = jnp.asarray(RANDOM.standard_normal((5, 3)))
    parameters, static = eqx.partition(exact, eqx.is_array)
    squares = Squares(points, lambda field, x: field(x) - exact(x))
    nothing = Residuals(((squares, jnp.array(1.0)),), static)
    huge = GaussNewtonState(jnp.array(1e300))
    step, state = update(nothing, parameters, state=huge)
    assert not flat(step).any()
    residuals, _ = residuals_of(exact, 20)
    refused = update(residuals, parameters, state=huge, loss=lambda _: jnp.array(jnp.inf))[1]
    for kept in (state, refused):
        step, after = update(residuals, parameters, state=kept)
        assert flat(step).any()
        assert 0 < after.damping < 1e20


def test_a_damping_below_rounding_is_raised(float64: None) -> None:
    """Cholesky's decomposition fails there; the next trials do not."""
    residuals, at = residuals_of(waves(linear=True), 20)
    tiny = GaussNewtonState(jnp.array(1e-18))
    step, state = update(residuals, at, state=tiny, form="samples")
    assert np.isfinite(flat(step)).all()
    assert state.damping >= 1e-19


@pytest.mark.parametrize(
    "choice",
    [
        "pde=cahn_hilliard pde.residual='u_t-u_xx-f' weighting=gradient_norm",
        "pde=poisson dim=4 loss=gradient_enhanced",
        "pde=poisson dim=4 loss=gradient_enhanced loss.components=2",
        "pde=poisson dim=4 loss=gpinn loss.components=2",
    ],
)
def test_the_loss_of_a_step_is_the_sum_of_squares(choice: str, float64: None) -> None:
    small = ("network.width=5", "network.depth=2", "train.points=7", "train.condition_points=3")
    problem, initialise, _ = build(composed(*small, "runtime.precision=float64", *choice.split()))
    found = []

    def look(updates: Any, state: Any, params: Any = None, **beside: Any) -> tuple[Any, Any]:
        found.append((beside["residuals"](params), beside["value"]))
        return updates, state

    def looking(schedule: optax.Schedule) -> GaussNewton:
        return GaussNewton(lambda params: (), look)

    state = eqx.filter_jit(initialise)()
    weights = problem.weighting.initial(len(problem.pde.conditions))
    state = eqx.tree_at(lambda s: s.optimizer_state, state, ())
    if weights is not None:
        state = eqx.tree_at(lambda s: s.weights, state, 2 * weights)
    problem = dataclasses.replace(problem, optimizer=looking)

    @eqx.filter_jit
    def squares():
        training_step(problem, state)
        residuals, value = found.pop()
        return jnp.sum(residuals**2), value

    assert tree_allclose(*squares())
