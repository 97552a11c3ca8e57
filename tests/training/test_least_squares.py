from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.system.prng import make_key
from stde_cli.training.least_squares import gauss_newton

_random = np.random.default_rng(0)
# Columns of very different lengths.
A = _random.standard_normal((30, 7)) * 10.0 ** np.arange(-3, 4)
B = _random.standard_normal(30)


def residuals(unknowns):
    """A x - b, of unknowns and into residuals that are in several arrays."""
    x = jnp.concatenate([unknowns["vector"], unknowns["matrix"].ravel()])
    left = A @ x - B
    return left[:10], left[10:].reshape(4, 5)


def start():
    return {"vector": jnp.arange(1.0, 4), "matrix": jnp.ones((2, 2))}


def test_a_linear_problem_takes_one_step(float64: None) -> None:
    found = jax.jit(lambda at: gauss_newton(residuals, at, 60, tolerance=0.0, key=make_key(0)))(
        start()
    )
    expected = np.linalg.lstsq(A, B)[0]
    np.testing.assert_allclose(found["vector"], expected[:3], rtol=1e-8)
    np.testing.assert_allclose(found["matrix"].ravel(), expected[3:], rtol=1e-8)


def test_ends_where_the_residuals_are_all_but_orthogonal_to_the_columns(float64: None) -> None:
    def largest_cosine(tolerance: float) -> float:
        step = jax.jit(
            lambda x: gauss_newton(lambda x: A @ x - B, x, 60, tolerance=tolerance, key=make_key(0))
        )
        left = A @ step(jnp.ones(7)) - B
        return np.max(np.abs(A.T @ left) / np.linalg.norm(A, axis=0) / np.linalg.norm(left))

    # The columns' lengths are right to a factor of two or so.
    assert 1e-4 < largest_cosine(0.1) < 2 * 0.1**0.5
    assert largest_cosine(0.0) < 1e-8


def test_each_iteration_lowers_the_residual(float64: None) -> None:
    def left(unknowns):
        return sum(jnp.sum(part**2) for part in residuals(unknowns))

    sizes = jax.jit(
        lambda at: [left(gauss_newton(residuals, at, n, key=make_key(0))) for n in range(3)]
    )(start())
    np.testing.assert_allclose(sizes[0], left(start()), rtol=1e-12)
    assert sizes[2] < sizes[1] < sizes[0]


def test_gauss_newton_converges_quadratically(float64: None) -> None:
    solution = np.array([0.7, -0.4, 1.2])

    def curved(x):
        def f(x):
            return jnp.stack([jnp.exp(x[0]) * x[1], jnp.sin(x[1]) + x[2] ** 2, x[0] * x[2], x[1]])

        return f(x) - f(jnp.asarray(solution))

    step = jax.jit(lambda x: gauss_newton(curved, x, 10, key=make_key(1)))
    x, errors = jnp.asarray(solution) + jnp.array([0.1, 0.1, -0.1]), []
    for _ in range(4):
        errors.append(float(np.linalg.norm(x - solution)))
        x = step(x)
    assert errors[-1] < 1e-8
    for before, after in pairwise(errors):
        assert after < 2 * before**2 + 1e-14


def test_what_no_residual_sees_stays(float64: None) -> None:
    """A column of zeros, in a vector and in a matrix, and an unknown that is nowhere."""
    at = {"vector": jnp.array([1.0, 2.0]), "matrix": jnp.array([[3.0, 4.0]]), "unseen": jnp.ones(3)}

    def some(unknowns):
        seen = jnp.stack([unknowns["vector"][1], unknowns["matrix"][0, 0]])
        return A[:2, 3:5] @ seen - B[:2]

    found = jax.jit(lambda at: gauss_newton(some, at, 10, key=make_key(2)))(at)
    assert (found["vector"][0], found["matrix"][0, 1]) == (1.0, 4.0)
    np.testing.assert_array_equal(found["unseen"], 1.0)
    np.testing.assert_allclose(some(found), 0, atol=1e-11)


@pytest.mark.parametrize("iterations", [1, 30])
def test_where_nothing_is_left_nothing_moves(iterations: int, float64: None) -> None:
    at = jnp.array([2.0, -3.0])
    found = jax.jit(
        lambda x: gauss_newton(lambda x: A[:5, :2] @ (x - at), x, iterations, key=make_key(3))
    )(at)
    np.testing.assert_array_equal(found, at)


def test_the_key_decides_the_scales_alone(float64: None) -> None:
    """Another one leads to the same answer."""
    x = jnp.zeros(4)
    first, second = (
        jax.jit(lambda x, k=k: gauss_newton(lambda x: A[:9, 2:6] @ x - B[:9], x, 30, key=k))(x)
        for k in jax.random.split(make_key(4))
    )
    np.testing.assert_allclose(first, second, rtol=1e-9)
