import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.ansatz.hard_constraint import HardConstraint
from stde_cli.autodiff.directions import Dense, Stratified
from stde_cli.estimators import STDE, Exact
from stde_cli.objective.metrics import Evaluator, relative_errors
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.constraints import Unconstrained
from stde_cli.problem.pdes import AllenCahn, Poisson, ThreeBody, TwoBody
from stde_cli.system.prng import make_key
from tests.helpers import (
    filled,
    laplacian,
    random_ansatz,
    random_pde,
)


def some_values(points=40):
    generator = np.random.default_rng(0)
    return [generator.standard_normal(points) for _ in range(3)]


def test_relative_errors_against_the_formulas():
    u, exact, constraint = some_values()
    errors = relative_errors(u, exact, constraint)
    l1 = sum(abs(a - b) for a, b in zip(u, exact, strict=True)) / sum(map(abs, exact))
    l2 = sum((a - b) ** 2 for a, b in zip(u, exact, strict=True)) / sum(b**2 for b in exact)
    assert errors.rel_l1_error == pytest.approx(l1, rel=1e-12)
    assert errors.rel_l2_error == pytest.approx(l2**0.5, rel=1e-12)
    assert all(type(figure) is float for figure in errors)


def test_the_trivial_baseline_is_the_best_multiple():
    _, exact, constraint = some_values()
    trivial = relative_errors(exact, exact, constraint).trivial_rel_l2_error

    def error(multiple):
        return relative_errors(multiple * constraint, exact, constraint).rel_l2_error

    ((best,), *_) = np.linalg.lstsq(constraint[:, None], exact)
    scan = [error(multiple) for multiple in np.linspace(best - 1, best + 1, 2001)]
    assert trivial == pytest.approx(min(scan), rel=1e-12)
    assert np.argmin(scan) == 1000
    assert trivial < min(error(best + 1e-3), error(best - 1e-3))


def test_perfect_and_worthless_values():
    _, exact, constraint = some_values()
    assert relative_errors(exact, exact, constraint)[:2] == (0, 0)
    assert relative_errors(0 * exact, exact, constraint)[:2] == (1, 1)
    assert relative_errors(exact, 3 * constraint, constraint).trivial_rel_l2_error < 1e-15


@pytest.mark.parametrize(("training_points", "points"), [(10, 1), (10, 1999), (2300, 4500)])
def test_exactly_the_asked_number_of_points(training_points, points):
    """Over the very points that the key fixes, not one batch more."""
    pde, ansatz, key = random_pde(3), random_ansatz(3, radius=1.0), make_key(4)
    evaluator = Evaluator(SampledResidual(pde, STDE(Stratified(), 2)), training_points)
    calls = []
    errors = evaluator.errors(ansatz, points, key=key, between=lambda: calls.append(None))
    assert evaluator.batch == max(training_points, 2000)
    assert len(calls) == -(-points // evaluator.batch)

    batches = [
        pde.domain.sample_interior(evaluator.batch, key=jax.random.fold_in(key, index))
        for index in range(len(calls))
    ]
    x = jnp.concatenate(batches)[:points]
    fields = (ansatz, pde.solution, pde.constraint)
    values = jax.jit(lambda x: [jax.vmap(f)(x) for f in fields])(x)
    values = [np.asarray(each, np.float64) for each in values]
    assert errors is not None
    np.testing.assert_allclose(errors, relative_errors(*values), rtol=1e-5)


@pytest.mark.parametrize(("dim", "batch"), [(100, 2000), (10_000, 1000), (1_000_000, 100)])
def test_batches_shrink_with_dim_to_what_training_takes(dim, batch):
    pde = filled(lambda: random_pde(dim))
    assert Evaluator(SampledResidual(pde, Exact()), training_points=100).batch == batch


def test_evaluations_can_be_stopped_between_batches():
    evaluator = Evaluator(SampledResidual(random_pde(3), STDE(Stratified(), 2)), 10)
    ansatz, steps = random_ansatz(3), itertools.count()

    def between():
        if next(steps) == 1:
            raise KeyboardInterrupt

    for evaluate in (evaluator.errors, evaluator.residual_rms):
        steps = itertools.count()
        with pytest.raises(KeyboardInterrupt):
            evaluate(ansatz, 5000, key=make_key(0), between=between)
        assert next(steps) == 2


def test_no_errors_where_no_solution_is_known():
    pde = eqx.tree_at(lambda pde: pde.solution, random_pde(3), None)
    assert (
        Evaluator(SampledResidual(pde, Exact()), 10).errors(random_ansatz(3), 5, key=make_key(0))
        is None
    )


@pytest.mark.parametrize(("equation", "solution"), [(AllenCahn, TwoBody), (Poisson, ThreeBody)])
def test_the_exact_solution_as_the_ansatz(float64, equation, solution):
    pde = filled(lambda: random_pde(6, equation, solution), scale=1)
    ansatz = HardConstraint(pde.solution, Unconstrained())
    evaluator = Evaluator(SampledResidual(pde, Exact()), 10)
    errors = evaluator.errors(ansatz, 30, key=make_key(5))
    assert errors is not None
    assert errors.rel_l1_error < 1e-14
    assert errors.rel_l2_error < 1e-14
    assert errors.trivial_rel_l2_error > 1e-3
    assert evaluator.residual_rms(ansatz, 30, key=make_key(6)) < 1e-11


def test_residual_rms_against_nested_derivatives(float64):
    pde = filled(lambda: random_pde(6), scale=1)
    ansatz, key = random_ansatz(6, radius=1.0), make_key(7)
    evaluator = Evaluator(SampledResidual(pde, Exact()), 10)
    rms = evaluator.residual_rms(ansatz, 2000, key=key)
    points_key, *_ = jax.random.split(jax.random.fold_in(key, 0), 3)
    x = pde.domain.sample_interior(2000, key=points_key)

    def residual(x):
        return pde.lhs(x, ansatz(x), {"laplacian": laplacian(ansatz, x)}) - pde.source(x)

    expected = jnp.sqrt(jnp.mean(jax.jit(jax.vmap(residual))(x) ** 2))
    assert rms == pytest.approx(float(expected), rel=1e-11)


def test_residual_rms_holds_no_variance_of_the_estimator(float64):
    """A noisy estimator tells the same figure, to within its own scatter."""
    pde, ansatz, key = filled(lambda: random_pde(6), scale=1), random_ansatz(6), make_key(8)
    exact = Evaluator(SampledResidual(pde, Exact()), 10).residual_rms(ansatz, 2000, key=key)
    noisy = Evaluator(SampledResidual(pde, STDE(Stratified(), 2)), 10)
    squares = [noisy.residual_rms(ansatz, 2000, key=make_key(seed)) ** 2 for seed in range(60)]
    error = np.std(squares, ddof=1) / np.sqrt(len(squares))
    assert error < 0.2 * exact**2
    assert abs(np.mean(squares) - exact**2) < 4 * error


def test_a_negative_mean_square_counts_as_zero():
    pde, ansatz = random_pde(6, Poisson), random_ansatz(6)
    evaluator = Evaluator(SampledResidual(pde, STDE(Dense("gaussian"), 1)), 10)
    figures = [evaluator.residual_rms(ansatz, 1, key=make_key(seed)) for seed in range(30)]
    assert min(figures) == 0 < max(figures)
