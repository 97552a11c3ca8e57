from functools import partial

import equinox as eqx
import jax
import numpy as np
import optax
import pytest

from stde_cli.ansatz.networks import MLP
from stde_cli.autodiff.directions import Stratified
from stde_cli.estimators import STDE
from stde_cli.objective.losses import Residual, UnbiasedResidual
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.system.prng import make_key
from stde_cli.training import schedules
from stde_cli.training.loop import MAX_STEPS_PER_CALL, Executable, advance
from stde_cli.training.start import FromNetwork
from stde_cli.training.state import Problem, initial_state, parameter_count, state_bytes
from stde_cli.training.step import training_step
from tests.helpers import random_pde

STEPS = 23
make_network = partial(MLP, width=8, depth=3)


def make_problem(seed=0, loss=None):
    return Problem(
        SampledResidual(random_pde(5), STDE(Stratified(), 2)),
        loss=loss or Residual(),
        optimizer=lambda _: optax.adam(1e-2),
        points=16,
        condition_points=1,
        start=FromNetwork(),
        key=make_key(seed),
    )


def first_state(problem, seed=1):
    return initial_state(problem, make_network, start_key=make_key(0), network_key=make_key(seed))


@pytest.fixture(scope="module")
def problem():
    return make_problem()


@pytest.fixture(scope="module")
def executable(problem):
    return Executable(problem, eqx.filter_eval_shape(lambda: first_state(problem)))


def run(executable, state, *, stop=STEPS, next_event=lambda step: 10**9, **options):
    """The final state, the losses of all steps, and the step at the end of each chunk."""
    losses, ends = [], []
    for chunk in advance(executable, state, stop=stop, next_event=next_event, **options):
        assert int(chunk.state.step) == chunk.step
        state = chunk.state
        losses.extend(chunk.losses.tolist())
        ends.append(chunk.step)
    return state, losses, ends


def same(a, b):
    return bool(eqx.tree_equal(a, b))


@pytest.mark.parametrize(
    "options",
    [
        {"max_steps_per_call": 1},
        {"max_steps_per_call": 4},
        {"next_event": lambda step: step + 1},
        {"next_event": lambda step: (step // 5 + 1) * 5},
    ],
    ids=["singly", "by four", "an event a step", "an event in five"],
)
def test_chunks_do_not_change_the_numbers(problem, executable, options):
    """Bit for bit, against all steps in a single call."""
    state, losses = executable(first_state(problem), STEPS)
    chunked, chunked_losses, _ = run(executable, first_state(problem), **options)
    assert same(state, chunked)
    assert chunked_losses == np.asarray(losses)[:STEPS].tolist()


def test_a_run_in_two_parts_is_the_run(problem, executable):
    whole, losses, _ = run(executable, first_state(problem))
    half, first, _ = run(executable, first_state(problem), stop=11)
    assert int(half.step) == 11
    resumed, second, _ = run(executable, half)
    assert same(whole, resumed)
    assert losses == first + second


def test_chunks_end_where_something_is_due(problem, executable):
    _, losses, ends = run(
        executable, first_state(problem), next_event=lambda step: (step // 7 + 1) * 7
    )
    assert {7, 14, 21, STEPS} <= set(ends)
    assert ends == sorted(set(ends))
    assert len(losses) == STEPS
    _, _, ends = run(executable, first_state(problem), max_steps_per_call=1)
    assert ends == list(range(1, STEPS + 1))


def test_nothing_is_left_to_do(problem, executable):
    assert run(executable, first_state(problem), stop=0)[1:] == ([], [])


def test_more_steps_than_a_call_holds(problem, executable):
    stop = MAX_STEPS_PER_CALL + 5
    state, losses, ends = run(executable, first_state(problem), stop=stop)
    assert int(state.step) == stop
    assert len(losses) == stop
    assert max(np.diff([0, *ends])) <= MAX_STEPS_PER_CALL
    assert np.isfinite(losses).all()
    assert np.mean(losses[-50:]) < 0.5 * np.mean(losses[:10])


def test_the_loop_takes_the_steps_of_training_step(problem, executable):
    """The losses are those of the step's own batch, before the step."""
    step = eqx.filter_jit(training_step)
    state, expected = first_state(problem), []
    for _ in range(5):
        step_key = jax.random.fold_in(problem.key, state.step)
        points_key, loss_key, _ = jax.random.split(step_key, 3)
        points = problem.pde.domain.sample_interior(problem.points, key=points_key)
        loss = eqx.filter_jit(problem.loss)(problem.residual, state.ansatz, points, key=loss_key)
        state, value = step(problem, state)
        np.testing.assert_allclose(value, loss, rtol=1e-5)
        expected.append(float(value))
    looped, losses, _ = run(executable, first_state(problem), stop=5)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    for a, b in zip(jax.tree.leaves(looped), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_the_keys_alone_decide_the_run(problem, executable):
    again = Executable(make_problem(), eqx.filter_eval_shape(lambda: first_state(problem)))
    other = Executable(make_problem(seed=3), eqx.filter_eval_shape(lambda: first_state(problem)))
    first, second, third = (
        run(e, first_state(problem), stop=5)[:2] for e in (executable, again, other)
    )
    assert same(first[0], second[0])
    assert first[1] == second[1]
    assert not set(first[1]) & set(third[1])
    assert not same(first_state(problem, seed=1), first_state(problem, seed=2))


@pytest.mark.parametrize("loss", [Residual(), UnbiasedResidual()], ids=str)
def test_a_step_is_pure(loss):
    problem = make_problem(loss=loss)
    state, step = first_state(problem), eqx.filter_jit(training_step)
    (after, value), (again, value_again) = step(problem, state), step(problem, state)
    assert same(after, again)
    assert value == value_again
    assert int(state.step) == 0
    assert int(after.step) == 1
    for old, new in zip(
        jax.tree.leaves(state.ansatz.network), jax.tree.leaves(after.ansatz.network), strict=True
    ):
        assert (old != new).any()
    # The unit of the solution belongs to the problem: it is not trained.
    assert same(state.ansatz.scale, after.ansatz.scale)


def test_the_problem_outlives_the_state(problem, executable):
    """The state's buffers are donated; what the problem holds must not be among them."""
    _ = executable(first_state(problem), 1)
    _ = executable(eqx.filter_jit(first_state)(problem), 1)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(eqx.filter(problem, eqx.is_array)))


def test_memory_is_known_before_any_parameter_exists(problem, executable):
    abstract = eqx.filter_eval_shape(lambda: first_state(problem))
    concrete = first_state(problem)
    assert (
        parameter_count(abstract.ansatz.network) == parameter_count(concrete.ansatz.network) == 129
    )
    # Adam keeps two numbers for each parameter; both it and the state count their steps, the
    # ansatz has its unit and the two powers of its guess, and the losses have their units.
    assert state_bytes(abstract) == state_bytes(concrete) == 4 * (3 * 129 + 2 + 3 + 2)
    assert executable.argument_memory_bytes >= state_bytes(abstract)
    assert executable.temp_memory_bytes > 0


RATE, LENGTH = 0.02, 1000


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (schedules.constant, {0: 1, 500: 1, 999: 1, 5000: 1}),
        (schedules.linear, {0: 1, 250: 0.75, 500: 0.5, 999: 0.001, 1000: 0, 5000: 0}),
        (partial(schedules.linear, final_fraction=0.2), {0: 1, 500: 0.6, 1000: 0.2, 5000: 0.2}),
        (schedules.cosine, {0: 0, 25: 0.5, 50: 1, 525: 0.5, 1000: 0, 5000: 0}),
        (
            partial(schedules.cosine, warmup_fraction=0.2, final_fraction=0.1),
            {0: 0, 100: 0.5, 200: 1, 600: 0.55, 1000: 0.1, 5000: 0.1},
        ),
        (partial(schedules.cosine, warmup_fraction=0.0), {0: 1, 500: 0.5, 1000: 0}),
        (schedules.exponential, {0: 1, 1: 0.9995, 500: 0.9995**500, 1000: 0.9995**1000}),
        (partial(schedules.exponential, decay=0.9), {0: 1, 1: 0.9, 2: 0.81}),
        (
            partial(schedules.piecewise, factors={0.5: 0.1, 0.75: 0.5}),
            {0: 1, 499: 1, 500: 0.1, 749: 0.1, 750: 0.05, 1000: 0.05},
        ),
        (partial(schedules.piecewise, factors={}), {0: 1, 1000: 1}),
    ],
    ids=[
        "constant",
        "linear",
        "linear to a fraction",
        "cosine",
        "cosine to a fraction",
        "cosine without warm-up",
        "exponential",
        "exponential by a factor",
        "piecewise",
        "piecewise without pieces",
    ],
)
def test_schedules(schedule, expected):
    rate = schedule(RATE, LENGTH)
    for step, fraction in expected.items():
        assert float(rate(step)) == pytest.approx(fraction * RATE, rel=1e-4, abs=1e-9), step


@pytest.mark.parametrize("steps", [1, 2, 10])
@pytest.mark.parametrize(
    "schedule", [schedules.constant, schedules.linear, schedules.cosine, schedules.exponential]
)
def test_short_runs_have_finite_rates(schedule, steps):
    rate = schedule(RATE, steps)
    rates = [float(rate(step)) for step in range(steps)]
    assert np.isfinite(rates).all()
    assert max(rates) <= RATE * (1 + 1e-6)
    assert max(rates) > 0
