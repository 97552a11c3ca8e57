"""Polynomials of windows, against nested derivatives and against products of primes, and of sines
and cosines."""

from itertools import product
from math import comb, prod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.ansatz.partners import of_cliques
from stde_cli.ansatz.windows import WindowPolynomials
from stde_cli.autodiff.directions import DenseDirections
from stde_cli.problem.domains import Circles
from stde_cli.system.prng import make_key
from tests.helpers import coordinate_directions, dense_matrix, filled, point_inside

DIM = 6
PRIMES = [2, 3, 5, 7, 11, 13]
CASES: dict[str, dict[str, Any]] = {
    "pairs": {"family": range(6), "window": 2, "degree": 3},
    "triples in the middle": {"family": range(1, 5), "window": 3, "degree": 2},
    "with time": {"family": range(1, 6), "single": (0,), "window": 2, "degree": 3},
    "time and another": {"family": range(1, 5), "single": (0, 5), "window": 2, "degree": 2},
    "longer than the family": {"family": range(2, 4), "single": (0,), "window": 4, "degree": 2},
    "without a family": {"family": range(0), "single": (0, 3), "window": 2, "degree": 3},
    "degree 0": {"family": range(1, 6), "single": (0,), "window": 2, "degree": 0},
    "partners": {
        "family": range(1, 6),
        "single": (0,),
        "window": 3,
        "degree": 3,
        "partners": of_cliques(5, [(0, 3), (3, 1, 2), (4, 1)]),
    },
    "pairs of partners": {
        "family": range(6),
        "window": 2,
        "degree": 2,
        "partners": of_cliques(6, [(0, 3), (2, 5)]),
    },
    "nothing": {"family": range(0), "window": 1, "degree": 0},
}
PERIODIC: dict[str, dict[str, Any]] = {
    "a periodic family": {
        "family": range(1, 6),
        "window": 2,
        "degree": 3,
        "circles": (Circles(1, 6, -0.5, 2.0),),
    },
    "one beside a family": {
        "family": range(1, 5),
        "single": (0, 5),
        "window": 2,
        "degree": 2,
        "circles": (Circles(5, 6, -1.0, 3.0),),
    },
    "periodic partners": {
        "family": range(1, 6),
        "single": (0,),
        "window": 3,
        "degree": 2,
        "partners": of_cliques(5, [(0, 3), (3, 1, 2), (4, 1)]),
        "circles": (Circles(0, 1, 0.0, 1.0), Circles(1, 6, -1.0, 2.0)),
    },
}
ALL = CASES | PERIODIC


def empty(name: str) -> WindowPolynomials:
    return WindowPolynomials(**ALL[name])


def with_noise(name: str) -> WindowPolynomials:
    polynomials = filled(lambda: empty(name))
    if polynomials.partners is None:
        return polynomials
    return eqx.tree_at(lambda p: p.partners, polynomials, ALL[name]["partners"])


@pytest.mark.parametrize("name", CASES)
def test_every_monomial_of_every_window_occurs_once(name: str, float64: None) -> None:
    """A monomial is the derivative by its coefficient; at primes, an integer that tells it."""
    case, x = CASES[name], jnp.array(PRIMES, float)
    single, family, window = case.get("single", ()), case["family"], case["window"]
    expected = set()
    for m in (None, *family):
        members = [] if m is None else [k for k in range(m, m + window) if k in family]
        if m is not None and "partners" in case:
            others = case["partners"].members[m - family.start]
            members = [m, *(family.start + int(k) for k in others if k < len(family))]
        variables = [*single, *members]
        for powers in product(range(case["degree"] + 1), repeat=len(variables)):
            if 1 <= sum(powers) <= case["degree"]:
                expected.add(prod(PRIMES[k] ** p for k, p in zip(variables, powers, strict=True)))
    polynomials = empty(name)
    monomials = eqx.filter_jit(eqx.filter_grad(lambda p: p(x)))(polynomials)
    found = [int(c) for c in (*monomials.shared, *monomials.readout.ravel()) if c != 0]
    assert sorted(found) == sorted(expected)

    # The degree of a term is the number of prime factors, at a window that does not hang over.
    for degrees, values in zip(
        polynomials.degrees, (monomials.shared, monomials.readout[:, :1].ravel()), strict=True
    ):
        for degree, value in zip(degrees, values, strict=False):
            factors = sum(int(value) % p**k == 0 for p in PRIMES for k in (1, 2, 3))
            assert value == 0 or degree == factors


@pytest.mark.parametrize("name", PERIODIC)
def test_every_product_of_sines_and_cosines_occurs_once(name: str, float64: None) -> None:
    case, x = PERIODIC[name], point_inside(DIM)
    single, family, window = case.get("single", ()), case["family"], case["window"]

    def factors(position: int) -> list[tuple[int, float]]:
        """Of one coordinate, with their degrees."""
        for circle in case["circles"]:
            if circle.start <= position < circle.stop:
                angle = 2 * np.pi * (float(x[position]) - circle.low) / circle.length
                waves = [(k, f(k * angle)) for k in (1, 2, 3) for f in (np.sin, np.cos)]
                return [(0, 1.0), *waves]
        return [(n, float(x[position]) ** n) for n in range(4)]

    def products(positions: list[int], first: int | None) -> list[float]:
        """Of a factor each, up to the degree; with one that is no 1 of the first, or of any."""
        found = []
        for chosen in product(*map(factors, positions)):
            degree = sum(d for d, _ in chosen)
            own = degree if first is None else chosen[positions.index(first)][0]
            if own and degree <= case["degree"]:
                found.append(prod(value for _, value in chosen))
        return found

    polynomials = empty(name)
    monomials = eqx.filter_jit(eqx.filter_grad(lambda p: p(x)))(polynomials)
    np.testing.assert_allclose(sorted(monomials.shared), sorted(products([*single], None)))
    for m in family:
        members = [k for k in range(m, m + window) if k in family]
        if "partners" in case:
            others = case["partners"].members[m - family.start]
            members = [m, *(family.start + int(k) for k in others if k < len(family))]
        found = monomials.readout[:, m - family.start]
        expected = sorted(products([*single, *members], m))
        np.testing.assert_allclose(sorted(found[found != 0]), expected, rtol=1e-12)


@pytest.mark.parametrize("degree", range(4))
@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize("single", [(), (0,), (0, 1)], ids=str)
def test_the_number_of_terms(single: tuple[int, ...], window: int, degree: int) -> None:
    polynomials = WindowPolynomials(range(2, 9), single=single, window=window, degree=degree)
    count = len(single)
    assert polynomials.shared.shape == (comb(count + degree, degree) - 1,)
    without_first = comb(count + window - 1 + degree, degree)
    assert polynomials.readout.shape == (comb(count + window + degree, degree) - without_first, 7)


@pytest.mark.parametrize("name", ALL)
def test_derivatives_are_those_of_the_value(name: str, float64: None) -> None:
    polynomials, x = with_noise(name), point_inside(DIM)
    spans = [range(DIM), range(1, DIM), range(2, 4), range(1)]

    def both(x):
        gradient, hessian = jax.grad(polynomials)(x), jnp.diag(jax.hessian(polynomials)(x))
        ours = [polynomials.value_gradient_laplacian(x, over) for over in spans]
        theirs = [
            (polynomials(x), gradient[over.start : over.stop], hessian[over.start : over.stop])
            for over in spans
        ]
        return ours, theirs

    for ours, (value, gradient, second) in zip(*jax.jit(both)(x), strict=True):
        np.testing.assert_allclose(ours[0], value, rtol=1e-12)
        np.testing.assert_allclose(ours[1], gradient, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(ours[2], jnp.sum(second), rtol=1e-12, atol=1e-14)


DIRECTIONS = {
    "distinct": lambda: coordinate_directions([5, 0, 3], [1.0, -0.5, 2.0]),
    "neighbours": lambda: coordinate_directions([2, 3, 4, 1], [1.0, -0.5, 2.0, 0.4]),
    "repeated": lambda: coordinate_directions([4, 0, 4, 5], [1.0, -0.5, 2.0, 0.3]),
    "padded": lambda: coordinate_directions([4, 5, 5], [1.0, 1.0, 0.0]),
    "dense": lambda: DenseDirections(jax.random.normal(make_key(4), (3, DIM)), jnp.ones(3)),
}


@pytest.mark.parametrize("name", ALL)
def test_restriction_is_the_value_on_the_span(name: str, float64: None) -> None:
    polynomials, x = with_noise(name), point_inside(DIM)
    made = {directions: make() for directions, make in DIRECTIONS.items()}

    def both(steps):
        pairs = {}
        for directions, v in made.items():
            rows = dense_matrix(v, DIM)
            s = steps[: len(rows)]
            pairs[directions] = polynomials.restrict(x, v)(s), polynomials(x + s @ rows)
        return pairs

    steps = jnp.asarray(np.random.default_rng(6).standard_normal((3, 4)))
    for directions, (restricted, expected) in jax.jit(jax.vmap(both))(steps).items():
        np.testing.assert_allclose(restricted, expected, rtol=1e-11, atol=1e-13, err_msg=directions)


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="a window of 0 coordinates is empty"):
        WindowPolynomials(range(5), window=0, degree=2)
