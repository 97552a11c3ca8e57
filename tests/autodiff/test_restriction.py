import math
from itertools import product

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stde_cli.ansatz.hard_constraint import HardConstraint
from stde_cli.ansatz.networks import MLP
from stde_cli.autodiff.directions import (
    Dense,
    DenseDirections,
    Stratified,
    WithoutReplacement,
    WithReplacement,
    all_coordinates,
)
from stde_cli.autodiff.restriction import Restrictable, restrict
from stde_cli.estimators import STDE, Unrestricted
from stde_cli.objective.losses import Residual, UnbiasedResidual
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.constraints import Unconstrained, VanishOnSphere
from stde_cli.system.prng import make_key
from stde_cli.training.loop import Executable
from stde_cli.training.start import FromNetwork
from stde_cli.training.state import Problem, initial_state
from tests.helpers import (
    coordinate_directions,
    dense_matrix,
    filled,
    jaxpr_shapes,
    point_inside,
    random_ansatz,
    random_guess,
    random_network,
    random_pde,
)

DIM = 12


def plain(x):
    return jnp.sin(jnp.sum(x**2)) + x[0] * x[3] * jnp.cos(x[1])


def guessed(dim):
    """An ansatz with all that it can have."""
    constraint = VanishOnSphere(1.4)
    guess = random_guess(constraint, range(dim))
    network = random_network(dim, "additive_mlp", width=3)
    return HardConstraint(network, constraint, 0.7, guess, plain)


FIELDS = {
    "mlp": lambda: random_network(DIM, "mlp"),
    "shallow": lambda: random_network(DIM, "mlp", depth=2),
    "weight_sharing": lambda: random_network(DIM, "weight_sharing", block_size=3),
    "one_block": lambda: random_network(DIM, "weight_sharing", block_size=DIM),
    "additive": lambda: random_network(DIM, "additive_mlp"),
    "vanish_on_sphere": lambda: VanishOnSphere(1.4),
    "unconstrained": Unconstrained,
    "hard_constraint": lambda: random_ansatz(DIM),
    "hard_constraint_weight_sharing": lambda: random_ansatz(DIM, "weight_sharing", block_size=4),
    "guess": lambda: random_guess(VanishOnSphere(1.4), range(DIM)),
    "hard_constraint_guess": lambda: guessed(DIM),
    "known": lambda: guessed(DIM).split()[1],
    "hard_constraint_plain": lambda: HardConstraint(plain, VanishOnSphere(1.1)),
    "plain": lambda: plain,
}
DIRECTIONS = {
    "all": lambda: all_coordinates(DIM),
    "distinct": lambda: coordinate_directions([7, 0, 3], [1.0, -0.5, 2.0]),
    "repeated": lambda: coordinate_directions([7, 0, 7, 11, 11], [1.0, -0.5, 2.0, 0.3, 0.0]),
    "dense": lambda: DenseDirections(jax.random.normal(make_key(4), (3, DIM)), jnp.ones(3)),
}
DRAWN = {
    "rademacher": lambda: Dense("rademacher")(DIM, 5, key=make_key(5)),
    "scaled": lambda: coordinate_directions([5, 2]).scaled(jnp.array([3.0, -1.0])),
}
"""Of the same classes: one field will do."""


@pytest.mark.parametrize(
    ("field", "directions"), [*product(FIELDS, DIRECTIONS), *product(["known"], DRAWN)]
)
def test_restriction_is_the_field_on_the_span(float64, field, directions):
    u, v = FIELDS[field](), (DIRECTIONS | DRAWN)[directions]()
    x = point_inside(DIM)
    assert isinstance(u, Restrictable) == (field != "plain")
    rows = dense_matrix(v, DIM)
    steps = 0.4 * np.random.default_rng(6).standard_normal((5, len(rows)))
    steps[0] = 0

    def both(s):
        return restrict(u, x, v)(s), u(x + s @ rows)

    restricted, expected = jax.jit(jax.vmap(both))(steps)
    np.testing.assert_allclose(restricted, expected, rtol=1e-12)


@pytest.mark.parametrize(
    "sampler", [Stratified(), WithReplacement(), WithoutReplacement()], ids=str
)
@pytest.mark.parametrize("loss", [Residual(), UnbiasedResidual()], ids=str)
def test_no_array_of_directions_times_dim(sampler, loss):
    largest, forbidden = largest_array(STDE(sampler, 64), loss, directions=64)
    assert largest < forbidden


def test_an_unrestricted_estimate_does_form_one():
    largest, forbidden = largest_array(Unrestricted(64), Residual(), directions=64)
    assert largest >= forbidden


def largest_array(estimator, loss, *, directions):
    """The largest array in the loss's gradient, and the size of one-hot directions."""
    dim, points, width = 10_000, 4, 3
    pde = filled(lambda: random_pde(dim))
    constraint = VanishOnSphere(1.3)
    network = random_network(dim, "additive_mlp", width=width)
    ansatz = HardConstraint(network, constraint, 1.0, random_guess(constraint, range(dim)))
    x = jnp.zeros((points, dim))
    parameters, static = eqx.partition(ansatz, eqx.is_inexact_array)

    def value(parameters, key):
        return loss(SampledResidual(pde, estimator), eqx.combine(parameters, static), x, key=key)

    jaxpr = jax.make_jaxpr(jax.grad(value))(parameters, make_key(1))
    assert max(points, width) < directions
    return max(math.prod(shape) for shape in jaxpr_shapes(jaxpr.jaxpr)), directions * dim


@pytest.mark.parametrize(
    "loss", [pytest.param(Residual(), marks=pytest.mark.slow), UnbiasedResidual()], ids=str
)
def test_memory_does_not_grow_with_directions(loss):
    """XLA's schedules differ by less than one array of the points, whatever the directions."""
    few, many = (temp_memory(loss, directions) for directions in (1, 64))
    points = 4 * 100 * 10**6
    assert few > points / 4  # the figure means something
    assert abs(many - few) < points


def temp_memory(loss, directions):
    dim = 10**6
    problem = Problem(
        SampledResidual(random_pde(dim), STDE(Stratified(), directions)),
        loss=loss,
        optimizer=lambda _: optax.adam(1e-3),
        points=100,
        condition_points=1,
        start=FromNetwork(),
        key=make_key(0),
    )
    state = eqx.filter_eval_shape(
        lambda key: initial_state(
            problem, lambda dim, key: MLP(dim, key=key), start_key=key, network_key=key
        ),
        make_key(1),
    )
    return Executable(problem, state).temp_memory_bytes
