"""A network of functions of the point: what is known of it, and what of it is trained."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.ansatz.guess import no_guess
from stde_cli.ansatz.hard_constraint import HardConstraint, trained
from stde_cli.ansatz.networks import MLP, OfFeatures, redundant
from stde_cli.autodiff.directions import Stratified
from stde_cli.estimators import STDE
from stde_cli.expressions import Field, Layout
from stde_cli.problem.constraints import VanishWhere
from stde_cli.problem.domains import Box, Gaussian, Product
from stde_cli.problem.operators import GradientNorm, Laplacian, Partial
from stde_cli.system.prng import make_key
from tests.helpers import laplacian

DIM = 6
LAYOUT = Layout(("t", ("x", DIM - 1)))
DOMAIN = Product(Box((0.0, 0.5)), Gaussian(DIM - 1, 1.0))
POINT = np.linspace(0.1, 0.9, DIM)


def field(text: str) -> Field:
    return Field.parse(text, LAYOUT, {}, where="text")


def network() -> OfFeatures:
    features = field("t"), field("norm2(x)"), field("sum(i, sin(x[i])*x[i+1])")
    return OfFeatures(features, partial(MLP, width=8, depth=3), DOMAIN, key=make_key(0))


def test_derivatives_are_those_of_the_composition(float64: None) -> None:
    made, over, x = network(), range(1, DIM), jnp.asarray(POINT)
    along, s = Stratified()(DIM, 3, key=make_key(1)), jnp.array([0.1, -0.2, 0.3])

    @jax.jit
    def found(x):
        return *made.value_gradient_laplacian(x, over), made.restrict(x, along)(s)

    @jax.jit
    def expected(x):
        def of_family(y: jax.Array) -> jax.Array:
            return made(jnp.concatenate([x[:1], y]))

        second = laplacian(of_family, x[1:])
        return made(x), jax.grad(made)(x)[1:], second, made(along.displace(x, s))

    for ours, theirs, rtol in zip(found(x), expected(x), (1e-12, 1e-10, 1e-10, 1e-12), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol)


def test_features_are_told_apart_whatever_their_scales(float64: None) -> None:
    made = network()
    x = DOMAIN.sample_interior(4000, key=make_key(7))
    values = jax.vmap(made._values)(x)
    mixed = (values - made.mean.values) @ made.mixing.values.T
    np.testing.assert_allclose(mixed.mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose(jnp.cov(mixed.T), jnp.eye(3), atol=0.15)
    assert (jnp.triu(made.mixing.values, 1) == 0).all()


@pytest.mark.parametrize(
    ("texts", "place"),
    [
        (["t", "t"], 1),
        (["1/3", "t"], 0),
        (["t", "norm2(x)", "sum(i, 0.3 - x[i]**2) + 2*t", "x1"], 2),
        (["t", "norm2(x)", "norm2(x)**2", "x1", "x1*t"], None),
    ],
)
def test_a_feature_that_says_nothing_new_is_found(texts: list[str], place: int | None) -> None:
    assert redundant([field(text) for text in texts], DOMAIN, key=make_key(0)) == place


def test_nothing_of_it_is_sampled(float64: None) -> None:
    """One direction of many, and yet the Laplacian and |grad u|^2 of the whole ansatz are exact."""
    constraint = VanishWhere(field("t"))
    ansatz = HardConstraint(
        network(), constraint, 0.7, no_guess(constraint), field("1/(2 + norm2(x))")
    )
    span, x = (1, DIM), jnp.asarray(POINT)
    operators = {"second": Laplacian(span), "slope": GradientNorm(span), "in time": Partial((0,))}
    estimator = STDE(Stratified(), 1)
    drawn = estimator.draw(operators, DIM, key=make_key(3))
    u, found = jax.jit(lambda x: estimator(ansatz, operators, x, drawn))(x)

    @jax.jit
    def expected(x):
        return ansatz(x), {name: each.exact(ansatz, x) for name, each in operators.items()}

    value, exact = expected(x)
    np.testing.assert_allclose(u, value, rtol=1e-12)
    for name in operators:
        np.testing.assert_allclose(found[name], exact[name], rtol=1e-9)


def test_an_optimizer_leaves_shift_and_mixing_alone() -> None:
    ansatz = HardConstraint(network(), VanishWhere(field("t")))
    changes, stays = eqx.partition(ansatz, trained(ansatz))
    assert changes.network.mean.values is None
    assert changes.network.mixing.values is None
    assert stays.network.network.first.weight is None
