"""Stein's Laplacian, where that of the smoothed function is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.estimators import RandomizedSmoothing
from stde_cli.problem.operators import Laplacian, Partial
from stde_cli.system.prng import make_key
from tests.helpers import point_inside

DIM, SIGMA = 5, 0.4
SLOPE = np.linspace(0.5, 1.5, DIM)


def quadratic(x):
    return x @ (SLOPE * x)


def sine(x):
    return jnp.sin(SLOPE @ x + 0.7)


def known(name, x):
    """u, the Laplacian over all and over some of the coordinates, and du/dx_3."""
    if name == "quadratic":
        value = quadratic(x) + SIGMA**2 * np.sum(SLOPE)
        return value, 2 * np.sum(SLOPE), 2 * np.sum(SLOPE[1:4]), 2 * SLOPE[2] * x[2]
    damped = np.exp(-(SIGMA**2) * SLOPE @ SLOPE / 2)
    value, slope = damped * sine(x), damped * np.cos(SLOPE @ x + 0.7)
    squares = SLOPE**2
    return value, -np.sum(squares) * value, -np.sum(squares[1:4]) * value, SLOPE[2] * slope


@pytest.mark.parametrize("field", [quadratic, sine], ids=lambda f: f.__name__)
def test_it_is_that_of_the_smoothed_field(float64, field):
    operators = {"all": Laplacian(), "some": Laplacian((1, 4)), "first": Partial((2,))}
    estimator, x, draws = RandomizedSmoothing(SIGMA, 8), point_inside(DIM), 20_000

    @jax.jit
    def found(key):
        drawn = estimator.draw(operators, DIM, key=key)
        u, values = estimator(field, operators, x, drawn)
        return jnp.stack([u, *(values[name] for name in operators)])

    estimates = np.asarray(jax.vmap(found)(jax.random.split(make_key(5), draws)))
    errors = estimates.std(axis=0, ddof=1) / np.sqrt(draws)
    truth = np.array(known(field.__name__, x))
    assert np.all(np.abs(estimates.mean(axis=0) - truth) < 4 * errors)
    if field is sine:
        # What smoothing takes away is far more than what is left of the noise.
        bias = abs(truth[1] + SLOPE @ SLOPE * sine(x))
        assert bias > 10 * errors[1]
