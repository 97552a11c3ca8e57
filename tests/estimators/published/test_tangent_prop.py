"""Derivatives along directions through the layers of an MLP, against the engine."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.ansatz.hard_constraint import HardConstraint
from stde_cli.autodiff.directions import Dense, Stratified
from stde_cli.estimators import STDE, TangentProp
from stde_cli.problem.constraints import VanishOnSphere
from stde_cli.problem.operators import (
    Combination,
    GradientNorm,
    Laplacian,
    Partial,
    Polyharmonic,
    SumOfPartials,
    WeightedTrace,
)
from stde_cli.system.prng import make_key
from tests.helpers import point_inside, random_ansatz, random_guess, random_network

DIM = 6
CONSTRAINT = VanishOnSphere(1.3)


def with_guess():
    network, guess = random_network(DIM, width=4), random_guess(CONSTRAINT, range(DIM))
    return HardConstraint(network, CONSTRAINT, 0.7, guess, lambda x: jnp.sin(x[0] * x[3]))


FIELDS = {"constrained": lambda: random_ansatz(DIM), "guess": lambda: with_guess()}
OPERATORS = {
    "laplacian": Laplacian((1, 5)),
    "norm": GradientNorm(),
    "trace": WeightedTrace(lambda x: 1 + x),
    "pure": Combination((2.0, -1.0), (Partial((0, 0, 0)), Partial((3, 3)))),
}


def both(estimators, field, x, operators):
    """What each estimator finds, with one key."""

    @jax.jit
    def found(x):
        draws = [e.draw(operators, DIM, key=make_key(1)) for e in estimators]
        pairs = zip(estimators, draws, strict=True)
        return [e(field, operators, x, drawn) for e, drawn in pairs]

    return found(x)


def check(estimators, field, operators, rtol=1e-10):
    (u, ours), (value, theirs) = both(estimators, field, point_inside(DIM), operators)
    np.testing.assert_allclose(value, u, rtol=1e-12)
    for name in operators:
        np.testing.assert_allclose(theirs[name], ours[name], rtol=rtol, err_msg=name)


@pytest.mark.parametrize("name", FIELDS)
def test_it_reads_what_the_engine_reads(float64, name):
    check([STDE(Stratified(), 3), TangentProp(Stratified(), 3)], FIELDS[name](), OPERATORS)


def test_orders_to_ten(float64):
    field = random_ansatz(DIM)
    orders = {str(n): Partial((3,) * n) for n in range(2, 11)}
    check([STDE(Stratified(), 2), TangentProp(Stratified(), 2)], field, orders, rtol=1e-9)


def test_polyharmonic_operators_by_gaussian_directions(float64):
    gaussian = Dense("gaussian")
    operators = {"biharmonic": Polyharmonic(2)}
    check([STDE(gaussian, 2), TangentProp(gaussian, 2)], random_ansatz(DIM, width=4), operators)


@pytest.mark.parametrize("activation", ["sin", "silu", "softplus", "gelu"])
def test_activations(float64, activation):
    field = random_ansatz(DIM, width=4, activation=activation)
    operators = {"third": SumOfPartials((3,))}
    check([STDE(Stratified(), 2), TangentProp(Stratified(), 2)], field, operators)


@pytest.mark.parametrize(
    "operator", [Partial((0, 1)), Polyharmonic(2), SumOfPartials((2, 1))], ids=str
)
def test_mixed_derivatives_are_refused(operator):
    with pytest.raises(ValueError, match=r"no estimate of mixed: \w+ has mixed derivatives"):
        TangentProp(Stratified(), 2).draw({"mixed": operator}, DIM, key=make_key(0))


@pytest.mark.parametrize("network", ["weight_sharing", "additive_mlp"])
def test_other_networks_are_refused(float64, network):
    """Where no part of them is known to the operator."""
    operators = {"fourth": SumOfPartials((4,))}
    estimator, field = TangentProp(Stratified(), 2), random_ansatz(DIM, network)
    with pytest.raises(ValueError, match="network=mlp"):
        both([estimator], field, point_inside(DIM), operators)
