import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.problem.pdes.trigonometry import sin_cos


def arguments():
    """Float32 numbers below 1000 in size, crowded around the multiples of pi/4."""
    even = np.linspace(-1000, 1000, 1_000_003)[1:-1]
    small = np.geomspace(1e-30, 1, 10_000)
    seams = np.arange(-1273, 1274)[:, None] * np.pi / 4 + np.linspace(-1e-4, 1e-4, 101)
    everything = np.concatenate([even, small, -small, seams.ravel(), [0.0, -0.0]])
    return everything.astype(np.float32)


def test_absolute_error_in_single_precision():
    x = arguments()
    assert np.abs(x).max() < 1000
    sin, cos = jax.jit(sin_cos)(x)
    assert sin.dtype == cos.dtype == jnp.float32
    exact = x.astype(np.float64)
    assert np.abs(np.asarray(sin, np.float64) - np.sin(exact)).max() < 1.5e-7
    assert np.abs(np.asarray(cos, np.float64) - np.cos(exact)).max() < 1.5e-7


def test_small_arguments_keep_their_relative_accuracy():
    x = np.geomspace(1e-30, 0.7, 10_000, dtype=np.float32)
    sin, _ = sin_cos(jnp.asarray(x))
    np.testing.assert_allclose(sin, np.sin(x.astype(np.float64)), rtol=2e-7)


@pytest.mark.parametrize("shape", [(), (0,), (3, 4)])
def test_any_shape(shape):
    x = jnp.linspace(-3, 3, int(np.prod(shape)), dtype=jnp.float32).reshape(shape)
    for ours, theirs in zip(sin_cos(x), (jnp.sin(x), jnp.cos(x)), strict=True):
        assert ours.shape == shape
        np.testing.assert_allclose(ours, theirs, atol=3e-7)


def test_double_precision_is_the_library(float64):
    x = jnp.linspace(-50, 50, 1001)
    sin, cos = sin_cos(x)
    assert sin.dtype == jnp.float64
    np.testing.assert_array_equal(sin, jnp.sin(x))
    np.testing.assert_array_equal(cos, jnp.cos(x))


def test_derivatives_are_as_accurate_as_values():
    x = jnp.linspace(-50, 50, 100_001, dtype=jnp.float32)
    (sin, cos), (sin_rate, cos_rate) = jax.jit(
        lambda x: jax.jvp(sin_cos, (x,), (jnp.full_like(x, 2),))
    )(x)
    np.testing.assert_array_equal(sin_rate, 2 * cos)
    np.testing.assert_array_equal(cos_rate, -2 * sin)
