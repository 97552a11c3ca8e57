"""Units come from the PDE's own data, never from its solution."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stde_cli.ansatz.hard_constraint import HardConstraint, trained, without_network
from stde_cli.ansatz.networks import MLP
from stde_cli.autodiff.directions import Stratified
from stde_cli.config.build import build
from stde_cli.estimators import STDE, Exact
from stde_cli.objective.losses import AbstractLoss, GradientEnhanced, Residual
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.constraints import VanishOnSphere
from stde_cli.problem.domains import Ball
from stde_cli.problem.operators import Laplacian
from stde_cli.problem.pdes import (
    AbstractPDE,
    AbstractSolution,
    AllenCahn,
    Poisson,
    SineGordon,
    ThreeBody,
    TwoBody,
)
from stde_cli.problem.pdes.symbolic import Symbolic
from stde_cli.system.prng import make_key
from stde_cli.training import Problem, initial_state
from stde_cli.training.start import (
    AbstractStart,
    FromLeastSquares,
    FromNetwork,
    FromTrivialSolution,
    Start,
)
from stde_cli.training.step import training_step
from tests.config.test_build import composed
from tests.helpers import random_guess, random_pde


class Multiple(AbstractPDE):
    """Laplacian(u) + u^3 = f, with f made from u = size * (R^2 - |x|^2)."""

    domain: Ball
    constraint: VanishOnSphere
    size: float
    solution: None
    operators: ClassVar = {"laplacian": Laplacian()}

    def __init__(self, dim: int, size: float, radius: float = 1.0):
        self.domain, self.constraint = Ball(dim, radius), VanishOnSphere(radius)
        self.size, self.solution = size, None

    def lhs(self, x, u, derivatives):
        return derivatives["laplacian"] + u**3

    def source(self, x):
        dim = x.size
        laplacian = jnp.asarray(-2.0 * dim * self.size)
        return self.lhs(x, self.size * self.constraint(x), {"laplacian": laplacian})


def multiple_of(start: Start) -> jax.Array:
    """The multiple of the constraint that training starts at, there being nothing else."""
    multiple, *others = jax.tree.leaves(start.guess)
    assert not any(leaf.any() for leaf in (multiple[1:], *others))
    return multiple[0]


@pytest.mark.parametrize("size", [0.01, 1.0, -37.0, 250.0])
@pytest.mark.parametrize("radius", [1.0, 3.0])
def test_finds_the_multiple_that_solves(size: float, radius: float, float64: None) -> None:
    pde = Multiple(20, size, radius)
    start = FromTrivialSolution()(SampledResidual(pde, STDE(Stratified(), 4)), 50, key=make_key(0))
    np.testing.assert_allclose(start.scale, size, rtol=1e-6)
    assert multiple_of(start) == start.scale


def test_a_source_that_vanishes_leaves_the_units_alone() -> None:
    pde = Multiple(20, 0.0)
    residual = SampledResidual(pde, Exact())
    start = jax.jit(lambda key: FromTrivialSolution()(residual, 50, key=key))(make_key(0))
    assert (float(start.scale), float(start.units.loss)) == (1.0, 1.0)


@pytest.mark.parametrize("equation", [Poisson, AllenCahn, SineGordon])
@pytest.mark.parametrize("solution", [TwoBody, ThreeBody])
@pytest.mark.parametrize("dim", [10, 1000])
def test_agrees_with_a_fine_scan(equation, solution, dim: int, float64: None) -> None:
    pde = equation(dim, solution=solution, key=make_key(3))
    residual, points, key = SampledResidual(pde, STDE(Stratified(), 5)), 40, make_key(1)
    start = jax.jit(lambda key: FromTrivialSolution()(residual, points, key=key))(key)

    @jax.jit
    def scanned(multiple):
        x = pde.domain.sample_interior(points, key=jax.random.split(key)[0])
        source = jax.vmap(pde.source)(x)

        def square(s):
            derivatives = {"laplacian": -2.0 * dim * s}
            lhs = jax.vmap(lambda y: pde.lhs(y, s * pde.constraint(y), derivatives))(x)
            return jnp.mean((lhs - source) ** 2)

        limit = 10 * jnp.sqrt(jnp.mean(source**2)) / dim
        scan = jax.vmap(square)(jnp.linspace(-limit, limit, 40_001))
        return square(multiple), scan.min(), jnp.mean(source**2)

    found, least, source = scanned(multiple_of(start))
    assert found <= least * (1 + 1e-9)
    np.testing.assert_allclose(start.units.loss, source)


class Secret(AbstractSolution):
    """A solution that gives its source away, and nothing else."""

    inner: TwoBody
    radius: float
    window: ClassVar[int] = 2

    def __init__(self, dim: int, *, radius: float, key):
        self.inner = TwoBody(dim, radius=radius, key=key)
        self.radius = radius

    @property
    def coefficients(self):
        return self.inner.coefficients

    def terms(self, x):
        return self.inner.terms(x)

    def __call__(self, x):
        raise AssertionError("training asked for the exact solution")


@pytest.mark.parametrize(
    ("start", "loss"),
    [
        (FromTrivialSolution(), Residual()),
        (FromTrivialSolution(), GradientEnhanced()),
        (FromLeastSquares(window=1, degree=1, rounds=1), GradientEnhanced(components=2)),
    ],
    ids=str,
)
def test_training_never_asks_for_the_solution(start: AbstractStart, loss: AbstractLoss) -> None:
    pde = random_pde(12, AllenCahn, Secret)

    def optimizer(rate):
        return optax.adamw(1e-3, weight_decay=0.5)

    problem = Problem(
        SampledResidual(pde, STDE(Stratified(), 4)), loss, optimizer, 20, 20, start, make_key(2)
    )

    def first(problem):
        return initial_state(
            problem,
            lambda dim, key: MLP(dim, width=8, key=key),
            start_key=make_key(1),
            network_key=make_key(3),
        )

    state = jax.jit(lambda: first(problem))()
    later, value = eqx.filter_jit(training_step)(problem, state)
    assert jnp.isfinite(value)
    # The scale is a unit and the guess is known: weight decay leaves them alone too.
    for part in (lambda s: s.ansatz.scale, lambda s: s.ansatz.guess, lambda s: s.units):
        assert eqx.tree_equal(part(later), part(state))
    before, after = (jax.tree.leaves(s.ansatz.network)[0] for s in (state, later))
    assert not jnp.array_equal(before, after)


def test_only_the_network_is_trained() -> None:
    ansatz = HardConstraint(
        MLP(5, width=4, key=make_key(0)),
        VanishOnSphere(1.0),
        jnp.array(3.0),
        random_guess(VanishOnSphere(1.0), range(5)),
    )
    chosen = eqx.filter(ansatz, trained(ansatz))
    assert chosen.scale is None
    assert not jax.tree.leaves(chosen.guess)
    assert len(jax.tree.leaves(chosen)) == len(jax.tree.leaves(ansatz.network)) == 8


def test_the_published_start_changes_nothing() -> None:
    pde = random_pde(5, Poisson)
    guess, scale, units, _ = FromNetwork()(SampledResidual(pde, Exact()), 10, key=make_key(1))
    assert (float(scale), float(units.loss), float(units.conditions)) == (1.0, 1.0, 1.0)
    assert not any(leaf.any() for leaf in jax.tree.leaves(guess))


POINTS = 60


def start_of(pde: AbstractPDE, estimator=None):
    """The start, and the points that it was found at."""
    key = make_key(5)
    x = pde.domain.sample_interior(POINTS, key=jax.random.split(key, 3)[0])
    residual = SampledResidual(pde, estimator or Exact())
    found = jax.jit(lambda key: FromTrivialSolution()(residual, POINTS, key=key))(key)
    return found, np.asarray(x)


def on_an_interval(residual: str, **options) -> Symbolic:
    return Symbolic(1, coordinates={"x": [0, 1]}, residual=residual, key=make_key(0), **options)


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("lift", [None, "x**3"])
def test_where_the_multiple_explains_little_the_unit_mends_the_residual(
    lift: str | None, sign: str, float64: None
) -> None:
    """u_xx = f with u = lift + s x (1 - x): the residual is lift'' - 2s - f, by hand."""
    source = f"{sign}(40*sin(9*x) - 15)"
    pde = on_an_interval("u_xx - f", source=source, constraint="x*(1 - x)", lift=lift)
    start, x = start_of(pde)
    f = (-1 if sign else 1) * (40 * np.sin(9 * x[:, 0]) - 15)
    at_zero = (6 * x[:, 0] if lift else 0) - f
    multiple = np.mean(at_zero) / 2
    remaining = np.std(at_zero) / 2
    assert remaining > abs(multiple)
    np.testing.assert_allclose(start.scale, remaining, rtol=1e-6)
    np.testing.assert_allclose(multiple_of(start), multiple, rtol=1e-5)
    np.testing.assert_allclose(start.units.loss, np.mean(at_zero**2), rtol=1e-12)
    size = np.sqrt(np.mean(x**6)) if lift else 1.0
    np.testing.assert_allclose(start.units.conditions, size**2, rtol=1e-12)


@pytest.mark.parametrize("constraint", ["x*(1 - x)", "-x*(1 - x)"])
@pytest.mark.parametrize("size", [3.0, -0.02])
def test_multiples_of_either_sign(size: float, constraint: str, float64: None) -> None:
    pde = on_an_interval("u_xx - u**3 - f", solution=f"({size})*x*(1 - x)", constraint=constraint)
    start, _ = start_of(pde)
    multiple = -size if constraint.startswith("-") else size
    np.testing.assert_allclose(start.scale, multiple, rtol=1e-6)
    assert multiple_of(start) == start.scale


@pytest.mark.parametrize("size", [0.3, -4.0])
@pytest.mark.parametrize("estimator", [Exact(), STDE(Stratified(), 3)], ids=repr)
def test_multiples_in_an_operator_of_degree_two(estimator, size: float, float64: None) -> None:
    """Laplacian(u) + |grad u|^2 = f with u = size (1 - |x|^2), whose square is quadratic in s."""
    pde = Symbolic(
        6,
        coordinates={"x": {"ball": 1}},
        residual="laplacian(u) + grad_norm2(u) - f",
        source=f"{-12 * size} + {4 * size**2}*norm2(x)",
        constraint="1 - norm2(x)",
        key=make_key(0),
    )
    start, _ = start_of(pde, estimator)
    if isinstance(estimator, Exact):
        np.testing.assert_allclose(multiple_of(start), size, rtol=1e-6)
        return
    # One draw of |grad u|^2 says little more than its mean.
    assert 0.5 < multiple_of(start) / size < 2


@pytest.mark.parametrize("source", ["0", "3*x"])
def test_without_a_constraint_the_unit_is_the_size_of_the_data(source: str, float64: None) -> None:
    """A constant solves u_xx = f no better than 0: the conditions give the size."""
    conditions = [
        {"at": {"x": 0}, "residual": "u - 2", "weight": 10},
        {"at": {"x": 1}, "residual": "u_x + 7", "weight": 0.1},
    ]
    pde = on_an_interval("u_xx - f", source=source, conditions=conditions)
    start, x = start_of(pde)
    assert (float(start.scale), float(multiple_of(start))) == (7.0, 0.0)
    np.testing.assert_allclose(start.units.conditions, 49.0)
    expected = 49.0 if source == "0" else np.mean(9 * x**2)
    np.testing.assert_allclose(start.units.loss, expected, rtol=1e-12)


def test_zero_data_leaves_the_units_alone(float64: None) -> None:
    condition = {"at": {"x": "boundary"}, "residual": "u"}
    start, _ = start_of(on_an_interval("u_xx + u", conditions=[condition]))
    assert (float(start.scale), float(multiple_of(start))) == (1.0, 0.0)
    assert [float(leaf) for leaf in jax.tree.leaves(start.units)] == [1.0, 1.0]


def test_a_multiple_beside_a_lift_is_found_in_single_precision() -> None:
    """What the lift leaves to rounding is not multiplied."""
    size = 1e5
    pde = on_an_interval(
        "u_xx + u - f",
        solution=f"2 + x**3 + {size}*x*(1 - x)",
        constraint="x*(1 - x)",
        lift="2 + x**3",
    )
    start, _ = start_of(pde)
    np.testing.assert_allclose(multiple_of(start), size, rtol=2e-6)


# Least squares.


def in_a_ball(residual: str, inner: str, *, dim: int = 4, time: bool = False) -> Symbolic:
    """A problem whose solution is `inner` times its constraint."""
    constraint = "t*(1 - norm2(x))" if time else "1 - norm2(x)"
    return Symbolic(
        dim,
        coordinates={**({"t": [0, 1]} if time else {}), "x": {"ball": 1}},
        residual=residual,
        solution=f"({constraint})*({inner})",
        constraint=constraint,
        key=make_key(0),
    )


WITHIN = {
    "poisson": (
        ("laplacian(u) - f", "2 + x1 + x1*x2 - 3*x2**2 + sum(i, x[i]**2*x[i+1])"),
        FromLeastSquares(rounds=3, iterations=40),
    ),
    "semilinear": (
        ("laplacian(u) - u**3 + grad_norm2(u)/9 - f", "0.2 + x1 - 0.4*x2*x3"),
        FromLeastSquares(degree=2, rounds=6, iterations=30),
    ),
    "heat": (
        ("u_t - laplacian(u) - f", "1 + t - 2*t*x1 + x2*x3 - x4**2"),
        FromLeastSquares(degree=2, rounds=3, iterations=60),
    ),
}


@pytest.mark.parametrize(
    "name",
    [
        "poisson",
        pytest.param("semilinear", marks=pytest.mark.slow),
        pytest.param("heat", marks=pytest.mark.slow),
    ],
)
def test_a_solution_that_is_a_guess_is_found(name: str, float64: None) -> None:
    """Whatever the estimator: no operator here need be sampled."""
    texts, start = WITHIN[name]
    pde = in_a_ball(*texts, time=name == "heat")
    x, exact = pde.domain.sample_interior(30, key=make_key(9)), pde.solution
    assert exact is not None

    def found(key):
        guess = start(SampledResidual(pde, STDE(Stratified(), 2)), 50, key=key).guess
        u = without_network(pde.constraint, guess, pde.lift)
        return jax.vmap(u)(x), jax.vmap(exact)(x)

    ours, theirs = jax.jit(found)(make_key(1))
    np.testing.assert_allclose(ours, theirs, atol=1e-8 * np.abs(theirs).max())


def test_units_are_those_of_what_is_left(float64: None) -> None:
    pde = in_a_ball("laplacian(u) - f", "1 + sum(i, sin(2*x[i]))")
    key, points, rounds = make_key(2), 40, 2
    start = FromLeastSquares(degree=2, rounds=rounds, iterations=10)
    first_key, rounds_key = jax.random.split(key)
    last = jax.random.split(rounds_key, rounds + 1)[-1]
    x = pde.domain.sample_interior(points, key=jax.random.split(last, 3)[0])

    def both(key):
        found = start(SampledResidual(pde, Exact()), points, key=key)
        u = without_network(pde.constraint, found.guess, None)
        left = jax.vmap(lambda y: Laplacian().exact(u, y) - pde.source(y))(x)
        # Before, the units are those of the trivial solution: the source's, at its own points.
        first = pde.domain.sample_interior(points, key=jax.random.split(first_key, 3)[0])
        return found, jnp.mean(left**2), jnp.mean(jax.vmap(pde.source)(first) ** 2)

    found, left, source = jax.jit(both)(key)
    np.testing.assert_allclose(found.units.loss, left, rtol=1e-9)
    # The Laplacian of the constraint is -2 dim.
    np.testing.assert_allclose(found.scale, jnp.sqrt(left) / 8, rtol=1e-9)
    assert 0 < left < 0.3 * source
    np.testing.assert_allclose(found.units.loss / found.units.conditions, source, rtol=1e-9)


@pytest.mark.slow
def test_sampled_operators_make_no_guess_worse(float64: None) -> None:
    """By the exact residual at other points, which the start never sees."""
    pde = in_a_ball("biharmonic(u) - laplacian(u) - f", "1 + x1 + sin(x3)*x4", dim=6)
    estimator, x = STDE(Stratified(), 3), pde.domain.sample_interior(20, key=make_key(7))
    least = FromLeastSquares(window=1, degree=1, rounds=2, iterations=4)

    def both(key):
        sizes = []
        for start in (FromTrivialSolution(), least):
            guess = start(SampledResidual(pde, estimator), 50, key=key).guess
            u = without_network(pde.constraint, guess, None)
            left = jax.vmap(lambda y, u=u: pde.residual(y, *Exact()(u, pde.operators, y, None)))(x)
            sizes.append(jnp.mean(left**2))
        return sizes

    trivial, found = jax.jit(both)(make_key(3))
    assert found < trivial


@pytest.mark.parametrize(("start", "begins"), [("trivial_solution", True), ("network", False)])
def test_an_equation_in_time_begins_at_what_its_start_found(start: str, begins: bool) -> None:
    small = ("dim=6", "network.width=8", "network.depth=2", "train.points=10", "estimator.batch=3")
    config = composed("pde=semilinear_heat", f"start={start}", *small)
    initialise = build(config).initialise

    @jax.jit
    def both():
        ansatz = initialise().ansatz
        assert ansatz.guess is not None
        found = without_network(ansatz.constraint, ansatz.guess, ansatz.lift)
        x = jax.random.normal(make_key(2), (5, 7))
        return jax.vmap(ansatz)(x), jax.vmap(found)(x)

    assert jnp.allclose(*both()) == begins


def test_a_source_that_vanishes_leaves_the_guess_at_zero() -> None:
    start = FromLeastSquares(degree=1, rounds=1, iterations=3)
    guess, scale, units, _ = jax.jit(
        lambda key: start(SampledResidual(Multiple(20, 0.0), Exact()), 50, key=key)
    )(make_key(0))
    assert (float(scale), float(units.loss), float(units.conditions)) == (1.0, 1.0, 1.0)
    assert not any(leaf.any() for leaf in jax.tree.leaves(guess))


@pytest.mark.parametrize(
    ("dim", "asked", "degree"), [(1_000, 3, 3), (1_000, 1, 1), (100_000, 3, 2), (100_000, 0, 0)]
)
def test_the_degree_is_one_whose_terms_the_points_can_tell_apart(
    dim: int, asked: int, degree: int
) -> None:
    """At 100 000 dimensions there is room for 10 points, and the cubics have 10 terms a window."""
    start = FromLeastSquares(degree=asked)
    found = eqx.filter_eval_shape(
        lambda: start(SampledResidual(Multiple(dim, 1.0), Exact()), 5, key=make_key(0))
    )
    assert found.guess.polynomials.degree == degree


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="window=0 must be 1 or more"):
        FromLeastSquares(window=0)
