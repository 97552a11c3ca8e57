"""Spectral solutions against exact ones, and what is refused."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.problem.pdes.symbolic import Symbolic
from stde_cli.problem.references import spectral as module
from stde_cli.problem.references.spectral import Spectral, spectral
from stde_cli.system.errors import UsageError
from stde_cli.system.prng import make_key

T_AND_X = {"t": [0, 1], "x": {"periodic": [-1, 1]}}


def pde_of(**options) -> Symbolic:
    settings: Any = {"coordinates": T_AND_X} | options
    return Symbolic(2, **settings, key=make_key(0))


def solved(pde: Symbolic, monkeypatch, points: int, *, error: float = 1e-9) -> Spectral:
    """From so few points on that nothing takes long."""
    monkeypatch.setattr(module, "_POINTS", (points, points))
    monkeypatch.setattr(module, "_STEPS", (64, 4096))
    monkeypatch.setattr(module, "_HALVINGS", 2)
    return spectral(pde, error=error)


def error_of(found: Spectral, exact, points: int = 300) -> float:
    """The largest at points between those of the grid."""
    draws = np.random.default_rng(0).uniform(size=(points, 2))
    t, x = draws[:, 0], 2 * draws[:, 1] - 1
    order = (t, x) if found.time_first else (x, t)
    u = jax.jit(jax.vmap(found.field()))(jnp.stack([*map(jnp.asarray, order)], axis=1))
    return float(np.max(np.abs(np.asarray(u) - np.asarray(exact(t, x)))))


def test_the_heat_equation_with_a_source(monkeypatch, float64: None) -> None:
    # The coordinates the other way round, a factor before u_t, and a term that is not constant.
    pde = pde_of(
        coordinates=dict(reversed(T_AND_X.items())),
        residual="2*u_t - 0.2*u_xx + cos(pi*x)*u - f",
        source="exp(-t)*sin(pi*x)*(0.2*pi**2 - 2 + cos(pi*x))",
        initial="sin(pi*x)",
    )
    found = solved(pde, monkeypatch, 64)
    assert not found.time_first
    assert error_of(found, lambda t, x: np.exp(-t) * np.sin(np.pi * x)) < 1e-9
    assert found.error < 1e-9


def test_a_soliton_travels(monkeypatch, float64: None) -> None:
    c, alpha = 0.3, 0.0008

    def exact(t, x):
        away = (x - c * t + 1) % 2 - 1
        return 3 * c / np.cosh(np.sqrt(c / alpha) / 2 * away) ** 2

    pde = pde_of(
        residual="u_t + u*u_x + alpha*u_xxx",
        parameters={"alpha": alpha, "c": c},
        initial="3*c*sech(sqrt(c/alpha)/2*x)**2",
    )
    found = solved(pde, monkeypatch, 192, error=1e-6)
    # Its tails, which meet on the circle, are 1e-8.
    assert error_of(found, exact) < 5e-7


def cole_hopf(nu: float, t: np.ndarray, x: np.ndarray) -> np.ndarray:
    """From -sin(pi x) (Hopf 1950): a quadrature over all starting points."""
    reach = 14 * np.sqrt(2 * nu)
    away = np.linspace(-reach, reach, 20_001) * np.sqrt(t)[:, None]
    y = x[:, None] - away
    exponent = -np.cos(np.pi * y) / (2 * np.pi * nu) - away**2 / (4 * nu * t[:, None])
    weights = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    return -(weights * np.sin(np.pi * y)).sum(axis=1) / weights.sum(axis=1)


@pytest.mark.parametrize(
    ("nu", "points"),
    [(0.1 / np.pi, 192), pytest.param(0.01 / np.pi, 2048, marks=pytest.mark.slow)],
)
def test_burgers_equation_by_cole_and_hopf(
    nu: float, points: int, monkeypatch, float64: None
) -> None:
    pde = pde_of(
        residual="u_t + u*u_x - nu*u_xx", parameters={"nu": float(nu)}, initial="-sin(pi*x)"
    )
    found = solved(pde, monkeypatch, points)
    assert error_of(found, lambda t, x: cole_hopf(nu, t, x)) < 2e-8


@pytest.mark.slow
def test_what_kdv_conserves_stays(monkeypatch, float64: None) -> None:
    pde = pde_of(
        residual="u_t + u*u_x + mu**2*u_xxx", parameters={"mu": 0.022}, initial="cos(pi*x)"
    )
    values = solved(pde, monkeypatch, 384, error=1e-6).values
    mean, square = values.mean(axis=1), (values**2).mean(axis=1)
    np.testing.assert_allclose(mean, 0.0, atol=1e-12)
    np.testing.assert_allclose(square, 0.5, rtol=1e-6)


def test_a_term_that_is_not_real_everywhere_is_not_left_out(monkeypatch, float64: None) -> None:
    # Its slope is 0 at u = 0, and no number below.
    pde = pde_of(residual="u_t - u**1.5", initial="1 + 0*x")
    found = solved(pde, monkeypatch, 16)
    assert error_of(found, lambda t, x: (1 - t / 2) ** -2) < 1e-8


def test_too_few_modes_are_told(monkeypatch, float64: None) -> None:
    pde = pde_of(residual="u_t + u*u_x", initial="-sin(pi*x)")
    with pytest.raises(UsageError, match=r"pde.solution.spectral: by 96 points"):
        solved(pde, monkeypatch, 64)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"residual": "u_tt - u_xx", "initial": "0"}, "not of first order in t"),
        ({"residual": "u*u_t - u_xx", "initial": "1"}, "the factor of u_t is not constant"),
        ({"residual": "u_t + u_tx - u_xx", "initial": "1"}, "not of first order in t"),
        ({"residual": "u_t - u_xx", "terminal": "0"}, "no initial values"),
        (
            {"residual": "u_t - u_xx", "initial": "0", "coordinates": {"t": [0, 1], "x": [0, 1]}},
            "the equation is in t, x",
        ),
    ],
)
def test_other_equations_are_refused(options: dict, why: str, float64: None) -> None:
    with pytest.raises(UsageError, match=why):
        spectral(pde_of(**options))
