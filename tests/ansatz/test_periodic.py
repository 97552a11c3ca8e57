"""Networks and features of periodic coordinates: their period, and their derivatives."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.ansatz.networks import on_domain
from stde_cli.ansatz.periodic import Embedded, Embedding
from stde_cli.ansatz.random_features import Drawn, PeriodicFeatures
from stde_cli.autodiff.directions import DenseDirections
from stde_cli.autodiff.restriction import restrict
from stde_cli.problem.domains import Box, Product, Torus
from stde_cli.system.prng import make_key
from tests.helpers import NetworkKind, coordinate_directions, dense_matrix, filled, random_network

# t, a circle, another number, and a family of circles: positions 1 and 3, 4, 5 are periodic.
DOMAIN = Product(Box((0, 1)), Torus(-1, 1), Box((0, 2)), Torus(0, 3, copies=3))
EMBEDDING = Embedding(DOMAIN)
X = jnp.array([0.3, -0.2, 0.5, 0.1, 1.0, 2.0])
KINDS: tuple[NetworkKind, ...] = ("mlp", "weight_sharing", "additive_mlp")


def network(kind: NetworkKind) -> Embedded:
    return Embedded(random_network(EMBEDDING.inputs, kind), EMBEDDING)


def features() -> PeriodicFeatures:
    def make() -> PeriodicFeatures:
        centres, family = jnp.zeros((7, EMBEDDING.inputs)), EMBEDDING.seen(range(3, 6))
        drawn = Drawn(centres, 1.0, family=family, each=2, key=make_key(0))
        seen = drawn.seeing(2, jnp.ones((3, 3), bool))
        return PeriodicFeatures(drawn.scaled(jnp.ones(EMBEDDING.inputs), seen), EMBEDDING)

    return filled(make)


FIELDS: dict[str, Callable[[], Embedded | PeriodicFeatures]] = {
    **{kind: lambda kind=kind: network(kind) for kind in KINDS},
    "features": features,
}


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize(("position", "ends"), [(1, (-1.0, 1.0)), (4, (0.0, 3.0))])
def test_derivatives_up_to_order_4_are_the_same_at_both_ends(
    name: str, position: int, ends: tuple[float, float], float64: None
) -> None:
    field = FIELDS[name]()

    def of(value):
        return field(X.astype(float).at[position].set(value))

    def every(value):
        found, order = [], of
        for _ in range(5):
            found.append(order(value))
            order = jax.grad(order)
        return jnp.stack(found)

    low, high = jax.jit(jax.vmap(every))(jnp.array(ends))
    assert jnp.min(jnp.abs(low)) > 1e-6
    np.testing.assert_allclose(low, high, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", FIELDS)
def test_restriction_is_the_value_on_the_span(name: str, float64: None) -> None:
    field, x = FIELDS[name](), X.astype(float)
    # Of one kind and of both, with one coordinate twice, and dense.
    for directions in (
        coordinate_directions([0, 1, 4]),
        coordinate_directions([3, 3, 2, 3]),
        DenseDirections(jnp.arange(12.0).reshape(2, 6) / 7, jnp.ones(2)),
    ):
        s = 0.3 - 0.4 * jnp.arange(directions.weights.size)
        displaced = x + s @ dense_matrix(directions, 6)
        on_span, there = jax.jit(
            lambda s, y, along=directions: (restrict(field, x, along)(s), field(y))
        )(s, displaced)
        np.testing.assert_allclose(on_span, there, rtol=1e-12)


@pytest.mark.parametrize("over", [range(6), range(1, 5), range(2, 3)], ids=str)
def test_features_know_their_derivatives(over: range, float64: None) -> None:
    field, x = features(), X.astype(float)
    found = jax.jit(lambda x: field.value_gradient_laplacian(x, over))(x)
    value, gradient, hessian = jax.jit(
        lambda x: (field(x), jax.grad(field)(x), jax.hessian(field)(x))
    )(x)
    inside = slice(over.start, over.stop)
    np.testing.assert_allclose(found[0], value, rtol=1e-13)
    np.testing.assert_allclose(found[1], gradient[inside], rtol=1e-11)
    np.testing.assert_allclose(found[2], np.trace(hessian[inside, inside]), rtol=1e-11)


def test_a_feature_sees_sine_and_cosine_of_a_coordinate_together() -> None:
    family = EMBEDDING.seen(range(3, 6))
    centres = jnp.ones((50, EMBEDDING.inputs))
    drawn = Drawn(centres, 1.0, family=family, each=2, key=make_key(1))
    seen = np.asarray(drawn.seeing(2, jnp.ones((3, 3), bool)))[:, 4:].reshape(50, 3, 2)
    assert (seen[:, :, 0] == seen[:, :, 1]).all()
    assert (seen[:, :, 0].sum(axis=1) == 2).all()


def test_a_network_is_made_for_what_it_sees() -> None:
    made = on_domain(lambda n, key: random_network(n), DOMAIN, key=make_key(0))
    assert isinstance(made, Embedded)
    assert EMBEDDING.inputs == 10
    assert EMBEDDING.seen(range(3, 6)) == range(4, 10)
    np.testing.assert_array_equal(EMBEDDING.owners, [0, 1, 1, 2, 3, 3, 4, 4, 5, 5])
    assert jnp.shape(EMBEDDING.spread(1.0)) == (10,)
