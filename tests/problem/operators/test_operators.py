"""`exact` of every operator against formulas derived by hand, and what it refuses to sample.

Three fields of five coordinates, with a = (0.3, -0.5, 0.2, 0.7, -0.4) and b = (1, -2, 0.5, 3, -1):

    wave    u = exp(a . x)             d^q u = a^q u
    powers  u = sum_i b_i x_i^6
    chain   u = x_0^2 x_1^3 x_2 + x_3^4 x_4
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.autodiff.directions import Dense, Importance, Stratified, WithReplacement
from stde_cli.problem.operators import (
    Combination,
    Divergence,
    Drift,
    GradientForm,
    GradientNorm,
    Laplacian,
    Partial,
    Polyharmonic,
    SecondOrder,
    SumOfPartials,
    WeightedTrace,
    derivative_along,
    extent,
)
from stde_cli.system.prng import make_key
from tests.helpers import tree_allclose

DIM = 5
A = np.array([0.3, -0.5, 0.2, 0.7, -0.4])
B = np.array([1.0, -2.0, 0.5, 3.0, -1.0])
X = np.array([0.4, -0.3, 0.8, 0.5, -0.6])
U = float(np.exp(A @ X))
"""The wave at X."""


def wave(x):
    return jnp.exp(A @ x)


def powers(x):
    return B @ x**6


def chain(x):
    return x[0] ** 2 * x[1] ** 3 * x[2] + x[3] ** 4 * x[4]


DIAGONAL = np.array([0.5, 1.5, -1.0, 2.0, 0.3])
TALL = np.arange(1.0, 11.0).reshape(5, 2) / 4 - 1
SKEW = np.array([[1.0, 4.0, 0.0], [-2.0, -3.0, 1.5], [0.5, 0.0, 0.2]])
"""Indefinite, and not symmetric."""

C = np.array([2.0, 0.0, -1.0, 0.5, 3.0])


def pair_coefficient(x, indices):
    """C_ij(x) = (1 + i) x_j."""
    return (1 + indices[:, 0]) * x[indices[:, 1]]


A2, B4 = np.sum(A**2), B @ (360 * X**2)
K = 1 + X[0] ** 2 + X[1] * X[3]
"""k(x) = 1 + x_0^2 + x_1 x_3 at X; its gradient follows."""
GRAD_K = np.array([2 * X[0], X[3], 0, X[1], 0])

FIRST = (
    2 * X[0] * X[1] ** 3 * X[2]
    + 3 * X[0] ** 2 * X[1] ** 2 * X[2]
    + X[0] ** 2 * X[1] ** 3
    + 4 * X[3] ** 3 * X[4]
    + X[3] ** 4
)
"""The sum of the chain's first derivatives."""


def conductivity(x):
    return 1 + x[0] ** 2 + x[1] * x[3]


def table():
    """Operator, field, value. A function: its arrays are made in the precision of the test."""
    return {
        "laplacian": (Laplacian(), wave, A2 * U),
        "laplacian of powers": (Laplacian(), powers, B @ (30 * X**4)),
        "laplacian within": (Laplacian((1, 4)), wave, np.sum(A[1:4] ** 2) * U),
        "laplacian of chain": (
            Laplacian((0, 3)),
            chain,
            2 * X[1] ** 3 * X[2] + 6 * X[0] ** 2 * X[1] * X[2],
        ),
        "gradient norm": (GradientNorm(), wave, A2 * U**2),
        "gradient norm within": (GradientNorm((2, 5)), powers, np.sum((6 * B * X**5)[2:] ** 2)),
        "gradient form": (
            GradientForm(jnp.array(SKEW), (1, 4)),
            wave,
            A[1:4] @ SKEW @ A[1:4] * U**2,
        ),
        "gradient form, diagonal": (
            GradientForm(jnp.array(DIAGONAL)),
            powers,
            DIAGONAL @ (6 * B * X**5) ** 2,
        ),
        "biharmonic": (Polyharmonic(2), wave, A2**2 * U),
        "biharmonic of powers": (Polyharmonic(), powers, B4),
        # Of x_0^2 x_1^3 x_2: 2 u_0011 alone is not zero, 2 * 2 * 6 x_1 x_2.
        "biharmonic of chain": (
            Polyharmonic(2),
            chain,
            24 * X[1] * X[2] + 24 * X[4],
        ),
        "biharmonic within": (Polyharmonic(2, (0, 2)), wave, np.sum(A[:2] ** 2) ** 2 * U),
        "triharmonic": (Polyharmonic(3, (1, 4)), wave, np.sum(A[1:4] ** 2) ** 3 * U),
        "triharmonic of powers": (Polyharmonic(3), powers, 720 * np.sum(B)),
        "fourth": (SumOfPartials((4,)), wave, np.sum(A**4) * U),
        "fourth of powers": (SumOfPartials((4,)), powers, B4),
        "fourth within": (SumOfPartials((4,), span=(1, 3)), wave, np.sum(A[1:3] ** 4) * U),
        "third": (SumOfPartials((3,)), powers, B @ (120 * X**3)),
        "first": (SumOfPartials((1,)), chain, FIRST),
        "pairs": (SumOfPartials((2, 2)), wave, A2**2 * U),
        "uneven pairs": (SumOfPartials((3, 1)), wave, np.sum(A**3) * np.sum(A) * U),
        "iij": (SumOfPartials((2,), fixed=(1,)), wave, A2 * A[1] * U),
        "iij of chain": (
            SumOfPartials((2,), fixed=(1,)),
            chain,
            6 * X[1] ** 2 * X[2] + 6 * X[0] ** 2 * X[2],
        ),
        "ijjk": (SumOfPartials((1,), fixed=(3, 3, 4)), wave, np.sum(A) * A[3] ** 2 * A[4] * U),
        "iij within": (
            SumOfPartials((2,), fixed=(0,), span=(2, 5)),
            wave,
            np.sum(A[2:] ** 2) * A[0] * U,
        ),
        "with an array": (SumOfPartials((4,), coefficient=jnp.array(C)), wave, C @ A**4 * U),
        "with an array within": (
            SumOfPartials((2,), span=(1, 4), coefficient=jnp.array(C[:3])),
            wave,
            C[:3] @ A[1:4] ** 2 * U,
        ),
        "with a function": (
            SumOfPartials((2, 1), coefficient=pair_coefficient),
            wave,
            (1 + np.arange(5)) @ A**2 * (X @ A) * U,
        ),
        "neighbours": (
            SumOfPartials((1, 1), span=(0, 4), places=((0, 0), (0, 1))),
            wave,
            A[:4] @ A[1:] * U,
        ),
        "second neighbours": (
            SumOfPartials(
                (2, 1), span=(1, 3), places=((0, 0), (0, 2)), coefficient=jnp.array(C[:2])
            ),
            wave,
            (C[:2] * A[1:3] ** 2) @ A[3:5] * U,
        ),
        "drift": (Drift(lambda x: 2 * x), powers, 12 * B @ X**6),
        "drift within": (Drift(lambda x: x[:2] ** 2, (3, 5)), wave, X[:2] ** 2 @ A[3:] * U),
        "trace, number": (WeightedTrace(jnp.array(-0.7)), wave, 0.49 * A2 * U),
        "trace, diagonal": (WeightedTrace(jnp.array(DIAGONAL)), wave, DIAGONAL**2 @ A**2 * U),
        "trace, matrix": (WeightedTrace(jnp.array(TALL)), wave, np.sum((A @ TALL) ** 2) * U),
        "trace within": (
            WeightedTrace(jnp.array(TALL[:3]), (1, 4)),
            wave,
            np.sum((A[1:4] @ TALL[:3]) ** 2) * U,
        ),
        "trace, function": (
            WeightedTrace(lambda x: jnp.outer(x, x), columns=5),
            wave,
            np.sum((A @ np.outer(X, X)) ** 2) * U,
        ),
        "trace, diagonal function": (WeightedTrace(lambda x: x), wave, X**2 @ A**2 * U),
        "second order": (SecondOrder(jnp.array(SKEW), (1, 4)), wave, A[1:4] @ SKEW @ A[1:4] * U),
        "divergence": (
            Divergence(conductivity),
            wave,
            (K * A2 + GRAD_K @ A) * U,
        ),
        "divergence within": (
            Divergence(conductivity, (1, 4)),
            wave,
            (K * np.sum(A[1:4] ** 2) + GRAD_K[1:4] @ A[1:4]) * U,
        ),
        "combination": (
            Combination((2.0, -0.5), (Laplacian(), Drift(lambda x: x))),
            wave,
            (2 * A2 - 0.5 * A @ X) * U,
        ),
        "partial": (Partial((4, 3, 3)), chain, 12 * X[3] ** 2),
        "high partial": (Partial((0, 1, 1, 0, 2)), chain, 12 * X[1]),
    }


@pytest.mark.parametrize("name", table())
def test_exact_against_closed_forms(float64, name):
    operator, field, expected = table()[name]
    found = jax.jit(lambda x: operator.exact(field, x))(jnp.array(X))
    assert found.dtype == jnp.float64
    assert found.shape == ()
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


def test_only_the_symmetric_part_of_the_matrix_matters(float64):
    found = SecondOrder(jnp.array(SKEW))
    np.testing.assert_allclose(found.matrix, (SKEW + SKEW.T) / 2, rtol=1e-15)
    rebuilt = found.roots.T @ (found.signs[:, None] * found.roots)
    np.testing.assert_allclose(rebuilt, found.matrix, rtol=1e-13, atol=1e-14)
    assert set(np.asarray(found.signs)) == {-1.0, 1.0}


def test_derivative_along_vectors(float64):
    vectors = np.array([A, X, DIAGONAL])
    found = derivative_along(wave, jnp.array(vectors))(jnp.array(X))
    np.testing.assert_allclose(found, np.prod(vectors @ A) * U, rtol=1e-13)


def test_the_order_of_a_partials_coordinates_is_of_no_account():
    assert Partial((3, 0, 3)) == Partial((0, 3, 3))


def test_extent():
    assert extent(None, 4) == range(4)
    assert extent((1, 3), 4) == range(1, 3)


# Draws.


@pytest.mark.parametrize("distribution", ["rademacher", "gaussian"])
@pytest.mark.parametrize(
    ("operator", "reason"),
    [
        (SumOfPartials((4,)), r"d.4/dx_i.4: .* E\[v_i .* v_j\] = 0 unless all 4 indices agree"),
        (SumOfPartials((3,)), "d.3/dx_i"),
        (SumOfPartials((2, 4)), "d.4/dx_i"),
        (SumOfPartials((1,)), "first derivatives: their mean is zero"),
        (SumOfPartials((2, 1)), "first derivatives"),
        (SumOfPartials((2,), coefficient=jnp.ones(DIM)), "alike, and this sum has coefficients"),
        (SumOfPartials((2, 2), coefficient=pair_coefficient), "this sum has coefficients"),
        (
            SumOfPartials((1, 1), span=(0, 4), places=((0, 0), (0, 1))),
            "pairs of neighbouring coordinates",
        ),
        (Combination((1.0, 1.0), (Laplacian(), SumOfPartials((4,)))), "d.4/dx_i"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_dense_directions_are_refused_with_the_reason(operator, reason, distribution):
    with pytest.raises(ValueError, match=f"dense directions .*{reason}.*") as refusal:
        operator.draw(Dense(distribution), 2, DIM, key=make_key(0))
    assert "take a sampler of coordinates" in str(refusal.value)


@pytest.mark.parametrize("sampler", [Importance(), Dense("gaussian")], ids=str)
@pytest.mark.parametrize("name", ["laplacian within", "biharmonic", "pairs", "trace, matrix"])
def test_the_key_alone_decides_the_draw(name, sampler):
    operator, *_ = table()[name]
    draws = [operator.draw(sampler, 1, DIM, key=make_key(seed)) for seed in (0, 0, *range(1, 6))]
    assert tree_allclose(draws[0], draws[1], rtol=0)
    assert not all(tree_allclose(draws[0], draw, rtol=0) for draw in draws[2:])


@pytest.mark.parametrize("name", ["drift", "partial", "high partial"])
def test_what_needs_no_sampling_draws_nothing(name):
    operator, *_ = table()[name]
    assert operator.draw(Stratified(), 3, DIM, key=make_key(0)) is None


@pytest.mark.parametrize(
    ("operator", "most"),
    [
        (Laplacian((1, 4)), 3),
        (Polyharmonic(2, (0, 2)), 2),
        (SumOfPartials((2,), span=(1, 4), fixed=(0,)), 3),
        (WeightedTrace(jnp.array(TALL)), 2),
        (SecondOrder(jnp.array(SKEW), (1, 4)), 3),
    ],
    ids=str,
)
def test_no_more_directions_than_a_sum_has_terms(operator, most):
    for sampler in (Stratified(), WithReplacement(), Dense("gaussian")):
        (jets,) = operator.jets(jnp.array(X), operator.draw(sampler, 100, DIM, key=make_key(1)))
        assert jets.weights.shape == (most,)
        assert jets.directions.weights.shape == (most, len(jets.powers))
