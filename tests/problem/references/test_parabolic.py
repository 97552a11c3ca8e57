"""What is read from a residual, and equations that are none in time."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.problem.parabolic import read
from stde_cli.system.errors import UsageError
from tests.problem.references.problems import pde


def test_the_parts_of_an_equation(float64: None) -> None:
    # Backwards in time: u_s = 2/3 Laplacian(u) - x . grad(u) + (u - |grad u|^2)/3.
    text = "3*u_t + 2*laplacian(u) - 3*dot(x, grad(u)) - grad_norm2(u) + u"
    found = read(pde(3, text, terminal="sin(x1)", end=0.5, x=[1, 2, 3]))
    assert found.elapsed == 0.5
    np.testing.assert_allclose(found.point, [1, 2, 3])
    x, gradient = jnp.array([0.3, -1.0, 2.0]), jnp.array([1.0, 0.5, -1.0])
    s, u = jnp.array(0.2), jnp.array(0.7)
    np.testing.assert_allclose(found.data(x), np.sin(0.3))
    np.testing.assert_allclose(found.diffusion(s, x), 2 / 3)
    expected = -x @ gradient + (u - gradient @ gradient) / 3
    np.testing.assert_allclose(found.of_gradient(s, x, u, gradient), expected)


HEAT = "u_t - laplacian(u)"
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (HEAT, {}, "says u at no time"),
    (HEAT, {"initial": "x1", "value_at": None}, "pde.value_at: a reference is the value"),
    (HEAT, {"initial": "x1", "value_at": {"t": 0, "x": 0}}, "pde.value_at.t=0.0: lies where"),
    ("u_tt - laplacian(u)", {"initial": "x1"}, "u_tt is no part of"),
    ("u_t - biharmonic(u)", {"initial": "x1"}, "is no part of"),
    ("u_t + laplacian(u)", {"initial": "x1"}, "it diffuses backwards"),
    ("u_t - u*laplacian(u)", {"initial": "x1"}, "factors that depend on u"),
    ("u_t - dot(x, grad(u))", {"initial": "x1"}, "no second derivative in space"),
    ("u - laplacian(u)", {"initial": "x1"}, "no first derivative in time"),
    (HEAT, {"initial": "x1", "conditions": [{"residual": "u"}]}, r"pde.conditions\[0\]"),
]


@pytest.mark.parametrize(("residual", "given", "told"), REFUSED)
def test_what_has_no_reference(residual: str, given: dict, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        read(pde(2, residual, **given))


def test_a_boundary_in_space_is_refused() -> None:
    box = {"coordinates": {"t": [0, 1], "x": {"box": [-1, 1]}}, "initial": "0"}
    read(pde(1, HEAT, value_at={"t": 1, "x": 0}, **box))
    with pytest.raises(UsageError, match="u is held where"):
        read(pde(1, HEAT, value_at={"t": 1, "x": 0}, constraint="1 - x1**2", **box))
