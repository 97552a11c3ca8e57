"""Means over paths, and quadrature, against closed forms; what is linear and what is not."""

import math
from typing import Any

import numpy as np
import pytest

from stde_cli.problem.references.feynman_kac import feynman_kac
from stde_cli.problem.references.linear import linear
from stde_cli.problem.references.processes import Brownian, Geometric, Linear
from stde_cli.problem.references.solvers import solve
from stde_cli.system.errors import UsageError
from stde_cli.system.prng import make_key
from tests.problem.references.problems import pde, structure

# Black, Scholes and Barenblatt at zero gamma spread, from x = (1, 0.5, 1, 0.5).
BARENBLATT = "u_t + 0.08*sum(i, x[i]**2*partial(u, x[i], x[i])) - 0.05*(u - dot(x, grad(u)))"
# With correlated assets: of E[x1 x2], the growth is 2 r + C_12.
CORRELATED = (
    "u_t + sum(i, sum(j, C[i,j]*x[i]*x[j]*partial(u, x[i], x[j])))/2 - r*(u - dot(x, grad(u)))"
)
CASES: list[tuple[str, dict[str, Any], float, type, float]] = [
    # The heat equation of |x|^2: |x|^2 + 2 d t.
    ("u_t - laplacian(u)", {"initial": "norm2(x)", "x": 0.5}, 1 + 8 * 0.3, Brownian, 1e-9),
    # With growth and a source, both constant.
    (
        "u_t - laplacian(u) - 2*u - 3",
        {"initial": "norm2(x)", "x": 0.5},
        math.exp(0.6) * (1 + 8 * 0.3) + 1.5 * math.expm1(0.6),
        Brownian,
        1e-9,
    ),
    # A drift moves x1, and data that are not radial are drawn.
    ("u_t - laplacian(u) - 2*u_x1", {"initial": "x1 + x2**2"}, 0.6 + 0.6, Brownian, 0.05),
    # The second moment of an Ornstein-Uhlenbeck process.
    (
        "u_t - laplacian(u) + dot(x, grad(u))",
        {"initial": "norm2(x)", "x": 1},
        4 * math.exp(-0.6) + 4 * (1 - math.exp(-0.6)),
        Linear,
        1e-9,
    ),
    (
        BARENBLATT,
        {"terminal": "norm2(x)", "x": [1, 0.5, 1, 0.5], "end": 1.0},
        2.5 * math.exp(0.05 + 0.16),
        Geometric,
        0.02,
    ),
    # A harmonic oscillator's ground state: c varies along the path.
    (
        "u_t - laplacian(u)/2 + norm2(x)*u/2",
        {"initial": "exp(-norm2(x)/2)"},
        math.exp(-2 * 0.3),
        Brownian,
        0.02,
    ),
]


@pytest.mark.parametrize(("residual", "given", "true", "process", "most"), CASES)
def test_closed_forms(
    residual: str, given: dict, true: float, process: type, most: float, float64: None
) -> None:
    problem = structure(4, residual, **given)
    found = linear(problem)
    assert found is not None
    assert type(found[0].process) is process
    value, error = feynman_kac(problem, found[0], error=most / 2, seconds=1, key=make_key(0))
    assert error < most
    assert abs(value - true) < 4 * error + 1e-9


def test_correlated_assets(float64: None) -> None:
    covariance = np.array([[0.09, 0.03], [0.03, 0.04]])
    given = {"terminal": "x1*x2", "x": [1, 2], "parameters": {"C": covariance.tolist(), "r": 0.05}}
    problem = structure(2, CORRELATED, **given)
    found = linear(problem)
    assert found is not None
    value, error = feynman_kac(problem, found[0], error=0.01, seconds=1, key=make_key(0))
    assert abs(value - 2 * math.exp(0.3 * (0.05 + 0.03))) < 4 * error


@pytest.mark.parametrize(
    "residual",
    [
        "u_t - laplacian(u) - sin(u)",
        "u_t - laplacian(u) + u*grad_norm2(u)",
        "u_t - laplacian(u) - u + grad_norm2(u)",
        "u_t - laplacian(u) - u*u_x1",
        "u_t - laplacian(u) - min(u, 1)",  # linear near zero, and not where the data are
    ],
)
def test_what_is_not_linear(residual: str, float64: None) -> None:
    assert linear(structure(3, residual, initial="norm2(x)")) is None


def test_data_that_are_no_numbers_are_told_at_once(float64: None) -> None:
    asked = pde(3, "u_t - laplacian(u) - u_x1", initial="log(x1 - 100)")
    with pytest.raises(UsageError, match="what feynman_kac finds there is not finite"):
        solve(asked, seconds=1e9)
