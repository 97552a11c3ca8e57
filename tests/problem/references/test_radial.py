"""The spectral method against closed forms, published values and the Gauss rules it is made of."""

import math
from typing import Any
from unittest import mock

import numpy as np
import pytest

from stde_cli.problem.references import radial as module
from stde_cli.problem.references.feynman_kac import feynman_kac
from stde_cli.problem.references.linear import linear
from stde_cli.problem.references.quadrature import chi_square, normal
from stde_cli.problem.references.radial import radial
from stde_cli.system.errors import UsageError
from stde_cli.system.prng import make_key
from tests.problem.references.problems import heat_kernel_of_gaussian, structure

HEAT = "u_t - laplacian(u) - (1 - u**2)/(1 + u**2)"
SINE = "u_t - laplacian(u) - sin(u)"
CUBIC = "u_t - laplacian(u) - u + u**3"
CONTROL = "u_t + laplacian(u) - grad_norm2(u)"
FLAT, SHARP = "5/(10 + 2*norm2(x))", "1/(2 + 0.4*norm2(x))"
LOG = "log((1 + norm2(x))/2)"


@pytest.mark.parametrize(
    "rule", [normal(9), chi_square(9, 1), chi_square(9, 7), chi_square(9, 10**6)]
)
def test_polynomials_are_orthonormal_and_know_their_slopes(rule: Any) -> None:
    basis, roots = np.asarray(rule.basis, float), np.asarray(rule.roots, float)
    np.testing.assert_allclose(basis.T @ basis, np.eye(9), atol=1e-5)
    np.testing.assert_allclose(basis[:, 0], roots, atol=1e-6)
    weights, nodes = roots**2, np.asarray(rule.nodes, float)
    moments = [np.sum(weights), weights @ nodes, weights @ nodes**2]
    np.testing.assert_allclose(moments, [1, 0, 1], atol=1e-5)
    # The first three, as polynomials of the node.
    values = basis / roots[:, None]
    slopes = values @ np.asarray(rule.slope)
    for degree in (1, 2):
        fitted = np.polynomial.Polynomial.fit(nodes[3:7], values[3:7, degree], degree)
        np.testing.assert_allclose(fitted.deriv()(nodes[3:7]), slopes[3:7, degree], atol=1e-3)


@pytest.mark.parametrize(("dim", "x"), [(1, 0.0), (1, 0.5), (3, 0.5), (200, 0.0)])
def test_heat_from_a_gaussian(dim: int, x: float, float64: None) -> None:
    end = 0.3 if dim < 100 else 0.003
    problem = structure(dim, "u_t - laplacian(u)", initial="exp(-norm2(x))", x=x, end=end)
    assert problem.radial
    value, error = radial(problem)
    true = heat_kernel_of_gaussian(dim, dim * x**2, end)
    assert abs(value - true) < max(2 * error, 1e-8)


# The digits that two other discretisations of the radial reduction agree in.
KNOWN = [
    (HEAT, {"initial": FLAT}, 100, 0.316628, 6),
    (CONTROL, {"terminal": LOG, "end": 1.0}, 100, 4.590162, 6),
]
SLOW = [
    *((HEAT, FLAT, d, u, 6) for d, u in ((10, 0.469550), (1000, 0.287468), (10_000, 0.284307))),
    (SINE, FLAT, 10, 0.322926, 6),
    (SINE, FLAT, 100, 0.0528094, 7),
    (SINE, FLAT, 1000, 0.00558892, 8),
    (SINE, FLAT, 10_000, 0.000562085, 9),
    (CUBIC, SHARP, 100, 0.052781, 6),
]


@pytest.mark.parametrize(("residual", "given", "dim", "true", "digits"), KNOWN)
def test_known_values(
    residual: str, given: dict, dim: int, true: float, digits: int, float64: None
) -> None:
    value, error = radial(structure(dim, residual, **given))
    assert abs(value - true) < 0.51 * 10**-digits
    assert error < 1e-8


@pytest.mark.slow
@pytest.mark.parametrize(("residual", "initial", "dim", "true", "digits"), SLOW)
def test_known_values_at_other_dimensions(
    residual: str, initial: str, dim: int, true: float, digits: int, float64: None
) -> None:
    value, _ = radial(structure(dim, residual, initial=initial))
    assert abs(value - true) < 0.51 * 10**-digits


@pytest.mark.slow
def test_a_million_dimensions(float64: None) -> None:
    value, error = radial(structure(10**6, HEAT, initial=FLAT))
    # At infinitely many, u is the solution of u' = F(u) from 0.
    assert error < 1e-8
    assert abs(value - 0.283956) < 1e-6


@pytest.mark.parametrize(("x", "drift"), [(0.0, " + dot(x, grad(u))/2"), (0.4, "")])
def test_control_by_the_logarithm_too(x: float, drift: str, float64: None) -> None:
    problem = structure(8, CONTROL + drift, terminal="log((8 + norm2(x))/2)", x=x, end=0.2)
    found = linear(problem)
    assert found is not None
    value, error = radial(problem, error=1e-5)
    w = feynman_kac(problem, found[0], error=1e-9, key=make_key(0))
    true, of_true = found[1].back(*w)
    assert of_true < 1e-6
    assert abs(value - true) < 2 * error + of_true


def test_a_blow_up_is_told(float64: None) -> None:
    problem = structure(3, "u_t - laplacian(u) - u**2", initial="4", end=1.0)
    few = mock.patch.object(module, "_RESOLUTIONS", (4, 6))
    with few, pytest.raises(UsageError, match="does not stay finite"):
        radial(problem)
    calm = structure(3, "u_t - laplacian(u) - u**2", initial="0.5", end=1.0)
    assert math.isclose(radial(calm)[0], 1.0, rel_tol=1e-9)
