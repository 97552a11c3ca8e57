"""Random features against nested derivatives, and what each of them sees."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.ansatz.random_features import Drawn, RandomFeatures
from stde_cli.autodiff.directions import DenseDirections
from stde_cli.system.prng import make_key
from tests.helpers import coordinate_directions, dense_matrix, filled

DIM, FEATURES = 5, 7


def features() -> RandomFeatures:
    def make() -> RandomFeatures:
        centres = jnp.zeros((FEATURES, DIM))
        drawn = Drawn(centres, 1.0, family=range(DIM), key=make_key(0))
        return drawn.scaled(jnp.ones(DIM), jnp.ones((FEATURES, DIM), bool))

    return filled(make)


@pytest.mark.parametrize("over", [range(DIM), range(1, 4)], ids=str)
def test_derivatives_are_those_of_the_value(over: range, float64: None) -> None:
    field, x = features(), jnp.linspace(-0.7, 0.9, DIM)
    value, gradient, laplacian = field.value_gradient_laplacian(x, over)
    inside = slice(over.start, over.stop)
    expected = jnp.trace(jax.hessian(field)(x)[inside, inside])
    np.testing.assert_allclose(value, field(x), rtol=1e-13)
    np.testing.assert_allclose(gradient, jax.grad(field)(x)[inside], rtol=1e-12)
    np.testing.assert_allclose(laplacian, expected, rtol=1e-12)


def test_restriction_is_the_value_on_the_span(float64: None) -> None:
    field, x, s = features(), jnp.linspace(-0.7, 0.9, DIM), jnp.array([0.3, -1.1])
    for directions in (
        coordinate_directions([1, 4]),
        DenseDirections(jnp.arange(10.0).reshape(2, DIM) / 7, jnp.ones(2)),
    ):
        displaced = x + s @ dense_matrix(directions, DIM)
        along = field.restrict(x, directions)
        np.testing.assert_allclose(along(s), field(displaced), rtol=1e-13)


@pytest.mark.parametrize("together", [1, 2, 3])
def test_a_feature_sees_so_many_of_the_family_and_all_others(together: int) -> None:
    family = range(1, 5)
    drawn = Drawn(jnp.ones((200, 6)), 2.0, family=family, key=make_key(1))
    seen = drawn.seeing(together)
    np.testing.assert_array_equal(seen, drawn.seeing(together, jnp.ones((4, 4), bool)))
    assert ((drawn.scaled(jnp.ones(6), seen).weights != 0) == seen).all()
    seen = np.asarray(seen)
    assert seen[:, [0, 5]].all()
    assert (seen[:, 1:5].sum(axis=1) == together).all()
    # Each of them as often as another.
    assert (np.abs(seen[:, 1:5].mean(axis=0) - together / 4) < 0.15).all()


def test_what_features_see_of_many_coordinates_takes_no_memory_for_pairs() -> None:
    drawn = Drawn(jnp.ones((20, 3_000)), 1.0, family=range(3_000), key=make_key(1))

    def seen(order: jax.Array) -> jax.Array:
        return eqx.tree_at(lambda d: d.order, drawn, order).seeing(3)

    memory = jax.jit(seen).lower(drawn.order).compile().memory_analysis()
    assert memory is not None
    assert memory.temp_size_in_bytes < 50 * drawn.order.size


def test_a_feature_sees_together_what_is_coupled_alone() -> None:
    coupled = jnp.zeros((5, 5), bool).at[0, 3].set(True).at[3, 0].set(True).at[1, 2].set(True)
    drawn = Drawn(jnp.ones((300, 6)), 1.0, family=range(1, 6), key=make_key(4))
    seen = np.asarray(drawn.seeing(3, coupled))
    found = {tuple(np.flatnonzero(row)) for row in seen}
    # Coupling 1 to 2 and not 2 to 1: a feature that begins with 2 sees no other.
    assert found == {(0, 1, 4), (0, 2, 3), (0, 3), (0, 5)}


def test_mixed_derivatives_are_those_of_the_value(float64: None) -> None:
    field, points = features(), jax.random.normal(make_key(5), (6, DIM))
    hessians = jax.vmap(jax.hessian(field))(points)[:, 1:4, 1:4]
    expected = jnp.sqrt(jnp.mean(hessians**2, axis=0))
    np.testing.assert_allclose(field.mixed_derivatives(points, range(1, 4)), expected, rtol=1e-12)


def test_a_feature_is_zero_at_its_centre_and_varies_as_it_is_told(float64: None) -> None:
    spread, scales = jnp.array([2.0, 0.1, 1.0]), jnp.array([1.0, 3.0, 0.5])
    centres = jax.random.normal(make_key(2), (4000, 3))
    drawn = Drawn(centres, spread, family=range(3), key=make_key(3))
    found = drawn.scaled(scales, jnp.ones((4000, 3), bool))
    inside = jnp.sum(found.weights * centres, axis=1) + found.offsets
    np.testing.assert_allclose(inside, 0.0, atol=1e-10)
    deviations = np.std(found.weights, axis=0)
    # The standard error of a standard deviation of 4 000 numbers is 1.1 percent.
    np.testing.assert_allclose(deviations, scales / spread, rtol=0.05)
    assert not found.readout.any()
