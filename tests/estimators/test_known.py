"""What an ansatz knows of itself is not sampled, and changes no estimate's mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.ansatz.hard_constraint import HardConstraint
from stde_cli.autodiff.directions import Dense, Stratified, WithReplacement
from stde_cli.estimators import STDE, Exact, NestedBackward, mean_and_standard_error
from stde_cli.problem.constraints import VanishOnSphere
from stde_cli.problem.operators import Drift, GradientNorm, Laplacian
from stde_cli.system.prng import make_key
from tests.estimators.test_table import OPERATORS
from tests.helpers import point_inside, random_guess, random_network

DIM = 5
ESTIMATORS = [STDE(Stratified(), 2), STDE(WithReplacement(), 3), STDE(Dense("gaussian"), 1)]
OPERATOR = {
    "laplacian": Laplacian(),
    "within": Laplacian((1, 4)),
    "gradient norm": GradientNorm(),
    "drift": Drift(lambda x: jnp.sin(x)),
}


def ansatz(*, silent: bool = False) -> HardConstraint:
    """With a guess and with polynomials in its network, whose MLP may be zero."""
    constraint = VanishOnSphere(1.3)
    network = random_network(DIM, "additive_mlp", width=4, depth=2, degree=2)
    if silent:
        network = jax.tree.map(jnp.zeros_like, network)
    return HardConstraint(network, constraint, 0.8, random_guess(constraint, range(DIM)))


@pytest.mark.parametrize("estimator", [*ESTIMATORS, Exact()], ids=str)
def test_a_guess_is_read_without_variance(estimator, float64: None) -> None:
    field, x = ansatz(silent=True), point_inside(DIM)

    def both(x):
        found = [
            estimator(field, OPERATOR, x, estimator.draw(OPERATOR, DIM, key=make_key(seed)))
            for seed in (1, 2)
        ]
        return found, (field(x), {name: o.exact(field, x) for name, o in OPERATOR.items()})

    found, (value, expected) = jax.jit(both)(x)
    for u, derivatives in found:
        np.testing.assert_allclose(u, value, rtol=1e-12)
        for name in OPERATOR:
            np.testing.assert_allclose(derivatives[name], expected[name], rtol=1e-11)


def test_beside_a_network_estimates_are_unbiased(float64: None) -> None:
    field, x = ansatz(), point_inside(DIM)

    def all_of(x):
        found = {
            name: [
                mean_and_standard_error(e, field, o, x, draws=1500, key=make_key(seed))
                for seed, e in enumerate(ESTIMATORS)
            ]
            for name, o in OPERATOR.items()
        }
        exact = Exact()(field, OPERATOR, x, None)[1]
        return found, exact, {name: o.exact(field, x) for name, o in OPERATOR.items()}

    found, exact, expected = jax.jit(all_of)(x)
    for name, truth in expected.items():
        np.testing.assert_allclose(exact[name], truth, rtol=1e-10)
        for mean, error in found[name]:
            assert abs(mean - truth) < 4 * error + 1e-10 * abs(truth), name
            assert error > 0 or name == "drift", "nothing was sampled"


@pytest.mark.parametrize("name", ["biharmonic", "array", "trace, matrix"])
def test_other_operators_read_the_whole(name: str, float64: None) -> None:
    """The same from the same draw as nested derivatives of the whole ansatz."""
    field, x, operators = ansatz(), point_inside(DIM), {"value": OPERATORS[name]()}
    forward, backward = STDE(Stratified(), 2), NestedBackward(Stratified(), 2)

    def both(x):
        drawn = forward.draw(operators, DIM, key=make_key(5))
        return forward(field, operators, x, drawn), backward(field, operators, x, drawn)

    (u, ours), (v, theirs) = jax.jit(both)(x)
    np.testing.assert_allclose(u, v, rtol=1e-12)
    np.testing.assert_allclose(ours["value"], theirs["value"], rtol=1e-9)
