"""Polynomials in a few directions, against nested derivatives and NumPy's Chebyshev polynomials."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial.chebyshev import chebval

from stde_cli.ansatz.ridge import RidgePolynomials
from stde_cli.autodiff.directions import DenseDirections
from stde_cli.system.prng import make_key
from tests.helpers import coordinate_directions, dense_matrix, filled, point_inside

DIM = 6


def of(directions: int, terms: int) -> RidgePolynomials:
    weights, offsets = jnp.zeros((directions, DIM)), jnp.zeros(directions)
    readout = jnp.zeros((terms,) * directions)
    return filled(lambda: RidgePolynomials(weights, offsets, readout))


SIZES = [(1, 17), (2, 6)]
SPANS = [range(6), range(1, 4)]


@pytest.mark.parametrize(("directions", "terms"), SIZES)
def test_terms_are_products_of_chebyshev_polynomials(
    directions: int, terms: int, float64: None
) -> None:
    ridge, x = of(directions, terms), 2 * point_inside(DIM)
    s = np.asarray(ridge.weights @ x + ridge.offsets)
    expected = 0.0
    for degrees in product(range(terms), repeat=directions):
        own = [chebval(v, [0] * k + [1]) for v, k in zip(s, degrees, strict=True)]
        expected += float(ridge.readout[degrees]) * np.prod(own)
    np.testing.assert_allclose(ridge(x), expected, rtol=1e-10)
    assert ridge.along == directions
    assert ridge.terms.sum() == terms**directions - 1
    assert not ridge.scaled(jnp.zeros(directions)).terms.any()


@pytest.mark.parametrize(("directions", "terms"), SIZES)
def test_derivatives_and_restrictions_are_those_of_the_value(
    directions: int, terms: int, float64: None
) -> None:
    ridge, x = of(directions, terms), point_inside(DIM)
    moves = {
        "repeated": coordinate_directions([4, 0, 4], [1.0, -0.5, 2.0]),
        "dense": DenseDirections(jax.random.normal(make_key(4), (3, DIM)), jnp.ones(3)),
    }
    step = jnp.array([0.2, -0.3, 0.1])

    @jax.jit
    def both(x):
        gradient, hessian = jax.grad(ridge)(x), jnp.diag(jax.hessian(ridge)(x))
        restricted = {
            name: (ridge.restrict(x, v)(step), ridge(x + step @ dense_matrix(v, DIM)))
            for name, v in moves.items()
        }
        known = [ridge.value_gradient_laplacian(x, over) for over in SPANS]
        return gradient, hessian, restricted, known

    gradient, hessian, restricted, known = both(x)
    for ours, theirs in restricted.values():
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    for over, (value, slopes, laplacian) in zip(SPANS, known, strict=True):
        inside = slice(over.start, over.stop)
        np.testing.assert_allclose(value, ridge(x), rtol=1e-11)
        np.testing.assert_allclose(slopes, gradient[inside], rtol=1e-9)
        np.testing.assert_allclose(laplacian, jnp.sum(hessian[inside]), rtol=1e-9)
