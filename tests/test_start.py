"""Units come from the PDE's own data, never from its solution."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stde_cli.ansatz import HardConstraint, trained
from stde_cli.constraints import VanishOnSphere
from stde_cli.directions import Stratified
from stde_cli.domains import Ball
from stde_cli.estimators import STDE, Exact
from stde_cli.losses import Residual
from stde_cli.networks import MLP
from stde_cli.operators import Laplacian
from stde_cli.pdes import (
    AbstractPDE,
    AbstractSolution,
    AllenCahn,
    Poisson,
    SineGordon,
    ThreeBody,
    TwoBody,
)
from stde_cli.pdes.symbolic import Symbolic
from stde_cli.prng import make_key
from stde_cli.start import FromNetwork, FromTrivialSolution
from stde_cli.training import Problem, initial_state
from stde_cli.training.step import training_step
from tests.helpers import random_pde


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


@pytest.mark.parametrize("size", [0.01, 1.0, -37.0, 250.0])
@pytest.mark.parametrize("radius", [1.0, 3.0])
def test_finds_the_multiple_that_solves(size: float, radius: float, float64: None) -> None:
    pde = Multiple(20, size, radius)
    units = FromTrivialSolution()(pde, STDE(Stratified(), 4), 50, key=make_key(0))
    np.testing.assert_allclose(units.solution, size, rtol=1e-6)
    assert units.offset == 1.0


def test_a_source_that_vanishes_leaves_the_units_alone() -> None:
    pde = Multiple(20, 0.0)
    units = FromTrivialSolution()(pde, Exact(), 50, key=make_key(0))
    assert (float(units.solution), float(units.loss)) == (1.0, 1.0)


@pytest.mark.parametrize("equation", [Poisson, AllenCahn, SineGordon])
@pytest.mark.parametrize("solution", [TwoBody, ThreeBody])
@pytest.mark.parametrize("dim", [10, 1000])
def test_agrees_with_a_fine_scan(equation, solution, dim: int, float64: None) -> None:
    pde = equation(dim, solution=solution, key=make_key(3))
    estimator, points, key = STDE(Stratified(), 5), 40, make_key(1)
    units = FromTrivialSolution()(pde, estimator, points, key=key)

    x = pde.domain.sample_interior(points, key=jax.random.split(key)[0])
    source = jax.vmap(pde.source)(x)

    def square(s):
        derivatives = {"laplacian": -2.0 * dim * s}
        lhs = jax.vmap(lambda y: pde.lhs(y, s * pde.constraint(y), derivatives))(x)
        return jnp.mean((lhs - source) ** 2)

    limit = 10 * float(jnp.sqrt(jnp.mean(source**2))) / dim
    scan = jax.vmap(square)(jnp.linspace(-limit, limit, 40_001))
    assert square(units.solution) <= scan.min() * (1 + 1e-9)
    np.testing.assert_allclose(units.loss, jnp.mean(source**2))


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


def test_training_never_asks_for_the_solution() -> None:
    pde = random_pde(12, AllenCahn, Secret)
    estimator = STDE(Stratified(), 4)
    units = FromTrivialSolution()(pde, estimator, 20, key=make_key(1))
    optimizer = optax.adamw(1e-3, weight_decay=0.5)
    problem = Problem(pde, estimator, Residual(), optimizer, 20, 20, units, make_key(2))
    state = initial_state(problem, lambda dim, key: MLP(dim, width=8, key=key), key=make_key(3))
    later, loss = eqx.filter_jit(training_step)(problem, state)
    assert jnp.isfinite(loss)
    # The scale is a unit, not a parameter: weight decay leaves it alone too.
    assert later.ansatz.scale == state.ansatz.scale
    before, after = (jax.tree.leaves(s.ansatz.network)[0] for s in (state, later))
    assert not jnp.array_equal(before, after)


def test_only_the_network_is_trained() -> None:
    ansatz = HardConstraint(
        MLP(5, width=4, key=make_key(0)), VanishOnSphere(1.0), jnp.array(3.0), 1.0
    )
    chosen = eqx.filter(ansatz, trained(ansatz))
    assert chosen.scale is None
    assert len(jax.tree.leaves(chosen)) == len(jax.tree.leaves(ansatz.network)) == 8


def test_the_published_start_changes_nothing() -> None:
    pde = random_pde(5, Poisson)
    units = FromNetwork()(pde, Exact(), 10, key=make_key(1))
    assert (float(units.solution), float(units.loss), units.offset) == (1.0, 1.0, 0.0)


POINTS = 60


def units_of(pde: AbstractPDE, estimator=None):
    """The units, and the points that they were found at."""
    key = make_key(5)
    x = pde.domain.sample_interior(POINTS, key=jax.random.split(key, 3)[0])
    found = FromTrivialSolution()(pde, estimator or Exact(), POINTS, key=key)
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
    units, x = units_of(pde)
    f = (-1 if sign else 1) * (40 * np.sin(9 * x[:, 0]) - 15)
    at_zero = (6 * x[:, 0] if lift else 0) - f
    multiple = np.mean(at_zero) / 2
    remaining = np.std(at_zero) / 2
    assert remaining > abs(multiple)
    np.testing.assert_allclose(units.solution, remaining, rtol=1e-6)
    np.testing.assert_allclose(units.offset * units.solution, multiple, rtol=1e-5)
    assert abs(units.offset) < 1
    np.testing.assert_allclose(units.loss, np.mean(at_zero**2), rtol=1e-12)
    size = np.sqrt(np.mean(x**6)) if lift else 1.0
    np.testing.assert_allclose(units.conditions, size**2, rtol=1e-12)


@pytest.mark.parametrize("constraint", ["x*(1 - x)", "-x*(1 - x)"])
@pytest.mark.parametrize("size", [3.0, -0.02])
def test_multiples_of_either_sign(size: float, constraint: str, float64: None) -> None:
    pde = on_an_interval("u_xx - u**3 - f", solution=f"({size})*x*(1 - x)", constraint=constraint)
    units, _ = units_of(pde)
    multiple = -size if constraint.startswith("-") else size
    np.testing.assert_allclose(units.solution, multiple, rtol=1e-6)
    assert units.offset == 1.0


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
    units, _ = units_of(pde, estimator)
    if isinstance(estimator, Exact):
        np.testing.assert_allclose(units.solution * units.offset, size, rtol=1e-6)
        return
    # One draw of |grad u|^2 says little more than its mean.
    assert 0.5 < units.solution * units.offset / size < 2


@pytest.mark.parametrize("source", ["0", "3*x"])
def test_without_a_constraint_the_unit_is_the_size_of_the_data(source: str, float64: None) -> None:
    """A constant solves u_xx = f no better than 0: the conditions give the size."""
    conditions = [
        {"at": {"x": 0}, "residual": "u - 2", "weight": 10},
        {"at": {"x": 1}, "residual": "u_x + 7", "weight": 0.1},
    ]
    pde = on_an_interval("u_xx - f", source=source, conditions=conditions)
    units, x = units_of(pde)
    assert (float(units.solution), float(units.offset)) == (7.0, 0.0)
    np.testing.assert_allclose(units.conditions, 49.0)
    expected = 49.0 if source == "0" else np.mean(9 * x**2)
    np.testing.assert_allclose(units.loss, expected, rtol=1e-12)


def test_zero_data_leaves_the_units_alone(float64: None) -> None:
    condition = {"at": {"x": "boundary"}, "residual": "u"}
    units, _ = units_of(on_an_interval("u_xx + u", conditions=[condition]))
    assert [float(leaf) for leaf in jax.tree.leaves(units)] == [1.0, 0.0, 1.0, 1.0]
