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
    problem = Problem(pde, estimator, Residual(), optimizer, 20, units, make_key(2))
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
