"""A random key has one consumer, and a consumer's keys come from one split.

In threefry split(key, n)[i] == fold_in(key, i): a consumer that does both has the same numbers
twice, and what should be independent is not. So every use of a key is written down as the program
runs, wherever the key came from, and no key may have two.
"""

import sys
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest

import stde_cli
from stde_cli.ansatz.networks import AdditiveMLP
from stde_cli.autodiff.directions import Importance, Stratified
from stde_cli.estimators import STDE, NestedBackward, mean_and_standard_error
from stde_cli.objective.collocation import ByResidual, Uniform
from stde_cli.objective.losses import GradientEnhanced, UnbiasedResidual
from stde_cli.objective.metrics import Evaluator
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.objective.weighting import ByGradientNorm, Fixed
from stde_cli.problem.domains import Ball, Box, Gaussian, Product
from stde_cli.problem.operators import Laplacian, Polyharmonic
from stde_cli.problem.pdes.symbolic import Symbolic
from stde_cli.system.prng import make_key
from stde_cli.training import Problem, initial_state
from stde_cli.training.start import FromLeastSquares, FromTrivialSolution
from stde_cli.training.start.interactions import found
from stde_cli.training.step import training_step
from tests.estimators.test_table import COORDINATES_ONLY, GAUSSIAN, OPERATORS
from tests.helpers import random_ansatz

CONSUMERS = (
    *("split", "fold_in", "bits", "uniform", "normal", "randint", "rademacher"),
    *("permutation", "choice"),
)
HOUSE = str(Path(stde_cli.__file__).parent)


def place() -> str:
    """The line of this package, or else of this test, that is being run."""
    frame = sys._getframe(2)
    while frame is not None and not frame.f_code.co_filename.startswith((HOUSE, __file__)):
        frame = frame.f_back
    assert frame is not None
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


Uses = dict[bytes, set[str]]


@pytest.fixture
def uses(monkeypatch: pytest.MonkeyPatch) -> Uses:
    """Who has used which key, by the key's own numbers."""
    found: Uses = defaultdict(set)

    def recorded(name: str, function: Callable, key, *arguments, **options):
        use = f"{name} in {place()}"
        jax.debug.callback(lambda data: found[data.tobytes()].add(use), jax.random.key_data(key))
        return function(key, *arguments, **options)

    for name in CONSUMERS:
        monkeypatch.setattr(jax.random, name, partial(recorded, name, getattr(jax.random, name)))
    return found


def check(uses: Uses, *, least: int = 1) -> None:
    jax.effects_barrier()
    assert len(uses) >= least
    assert not [sorted(each) for each in uses.values() if len(each) > 1]


def test_a_key_that_is_split_and_folded_is_found(uses: Uses) -> None:
    @jax.jit
    def faulty(key):
        first = jax.random.split(key)[0]
        return jax.random.normal(first) + jax.random.uniform(jax.random.fold_in(key, 0))

    faulty(make_key(0))
    jax.effects_barrier()
    assert sorted(len(each) for each in uses.values()) == [2, 2]


@pytest.mark.parametrize("name", OPERATORS)
def test_draws(name: str, uses: Uses) -> None:
    sampler = Importance() if name in COORDINATES_ONLY else GAUSSIAN
    operators = {"value": OPERATORS[name]()}
    for number, each in enumerate((Stratified(), sampler)):
        jax.jit(partial(STDE(each, 2).draw, operators, 5))(key=make_key(number))
    check(uses, least=0 if name == "drift" else 2)


def test_operators_share_draws_of_one_kind_alone(uses: Uses) -> None:
    operators = {"a": Laplacian(), "b": Polyharmonic(2), "c": Laplacian(), "d": Polyharmonic(3)}
    drawn = jax.jit(partial(STDE(Stratified(), 2).draw, operators, 50))(key=make_key(3))
    check(uses)
    assert eqx.tree_equal(drawn["a"], drawn["c"])
    assert not eqx.tree_equal(drawn["a"].indices, drawn["b"][0].indices[:, 0])


def test_points(uses: Uses) -> None:
    domain = Product(Box((0, 1)), Ball(3), Box((0, 1), (-1, 2), copies=2))
    keys = iter([make_key(seed) for seed in range(10)])
    for each in (domain, *domain.parts, Gaussian(2)):
        each.sample_interior(3, key=next(keys))
        if not isinstance(each, Gaussian):
            each.sample_boundary(3, key=next(keys))
    check(uses, least=9)


PDE = {
    "coordinates": {"t": [0, 1], "x": {"ball": 1}},
    "residual": "u_t - laplacian(u) + sum(i, sum(j, partial(u, x[i], x[j]))) - f",
    "source": "t + x1",
    "conditions": [
        {"at": {"t": 0}, "residual": "u - x1"},
        {"at": {"x": "boundary"}, "residual": "laplacian(u) - t"},
    ],
}
VARIANTS = {
    "unbiased": (UnbiasedResidual(), Uniform(), Fixed(), FromTrivialSolution()),
    "components": (
        GradientEnhanced(components=2),
        ByResidual(),
        ByGradientNorm(),
        FromLeastSquares(window=1, degree=1, rounds=1, iterations=1),
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_start_and_a_step(name: str, uses: Uses) -> None:
    loss, collocation, weighting, start = VARIANTS[name]
    pde = Symbolic(3, **PDE, key=make_key(0))
    estimator = STDE(Stratified(), 2)
    problem = Problem(
        SampledResidual(pde, estimator),
        loss,
        optax.sgd,
        3,
        2,
        start,
        make_key(1),
        1,
        collocation,
        weighting,
    )

    @jax.jit
    def run() -> None:  # Nothing is asked for: only what makes keys is compiled.
        state = initial_state(
            problem,
            lambda dim, key: AdditiveMLP(dim, width=3, depth=2, key=key),
            start_key=make_key(2),
            network_key=make_key(3),
        )
        training_step(problem, state)

    run()
    check(uses, least=15)


def test_what_is_found_to_occur_together(uses: Uses) -> None:
    given: Any = PDE | {"residual": "u_t - laplacian(u) - f", "source": "t + x1*x3"}
    pde = Symbolic(4, **given, key=make_key(0))
    jax.jit(lambda: found(pde, 1, key=make_key(1)).members)()
    check(uses, least=8)


def test_metrics(uses: Uses) -> None:
    pde, estimator = Symbolic(3, **PDE, key=make_key(0)), NestedBackward(Stratified(), 2)
    ansatz = random_ansatz(4, width=3, depth=2)
    Evaluator(SampledResidual(pde, estimator), 3).residual_rms(ansatz, 5, key=make_key(2))
    mean_and_standard_error(estimator, ansatz, Laplacian(), jnp.zeros(4), draws=3, key=make_key(4))
    check(uses)
