import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.training.levenberg_marquardt import Linearised, levenberg_marquardt

RANDOM = np.random.default_rng(0)


def fit(residuals, at, *, others=lambda c: jnp.ones(1), rounds: int = 30):
    def linearised(c):
        return Linearised(residuals(c), jax.jacfwd(residuals)(c), others(c))

    return jax.jit(lambda at: levenberg_marquardt(linearised, at, rounds=rounds))(at)


def test_a_linear_problem_takes_one_round(float64: None) -> None:
    # Columns of very different lengths.
    matrix = RANDOM.standard_normal((40, 9)) * 10.0 ** np.arange(-4, 5)
    right = RANDOM.standard_normal(40)
    found, other = fit(
        lambda c: matrix @ c - right, jnp.ones(9), others=lambda c: c[:2] - 1.0, rounds=1
    )
    expected = np.linalg.lstsq(matrix, right)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    np.testing.assert_allclose(other, np.linalg.norm(expected[:2] - 1))


def test_no_digits_are_lost_as_by_normal_equations(float64: None) -> None:
    # Powers on [0, 1] have a condition of 1e8, whose square is beyond double precision.
    matrix = np.vander(np.linspace(0, 1, 60), 12)
    exact = np.sin(np.arange(12.0))
    found, _ = fit(lambda c: matrix @ c - matrix @ exact, jnp.zeros(12))
    assert np.abs(found - exact).max() < 1e-6


def test_columns_that_are_alike_or_zero_do_no_harm(float64: None) -> None:
    column = RANDOM.standard_normal((20, 1))
    matrix = np.concatenate([column, column, np.zeros_like(column)], axis=1)
    right = 3 * column[:, 0]
    found, _ = fit(lambda c: matrix @ c - right, jnp.zeros(3))
    np.testing.assert_allclose(matrix @ found, right, rtol=1e-6)
    assert found[2] == 0


@pytest.mark.parametrize("start", [(-1.2, 1.0), (4.0, -3.0)])
def test_rosenbrocks_valley_is_followed_to_its_end(start, float64: None) -> None:
    found, _ = fit(
        lambda c: jnp.stack([10 * (c[1] - c[0] ** 2), 1 - c[0], 0.0]), jnp.array(start), rounds=100
    )
    np.testing.assert_allclose(found, 1.0, rtol=1e-8)


def test_a_step_that_makes_things_worse_is_not_taken(float64: None) -> None:
    # An undamped step from 3 leads to -8.5, and from there ever further.
    def residuals(c):
        return jnp.concatenate([jnp.arctan(c), jnp.zeros(1)])

    assert abs(3 - np.arctan(3) * 10) > 3
    found, _ = fit(residuals, jnp.array([3.0]))
    np.testing.assert_allclose(found, 0.0, atol=1e-8)


def test_what_is_not_finite_is_told() -> None:
    found, other = fit(lambda c: jnp.log(c - 2), jnp.zeros(2))
    assert (found == 0).all()
    assert other == jnp.inf
