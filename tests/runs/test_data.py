"""Solutions from files: between the points of a grid, at points alone, and what is refused."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.ansatz.hard_constraint import HardConstraint
from stde_cli.estimators import Exact
from stde_cli.objective.metrics import Evaluator, HeldAgainst, held_against
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.pdes.symbolic import Symbolic
from stde_cli.problem.tabulated import Samples, Tabulated
from stde_cli.runs.data import read_solution
from stde_cli.system.errors import UsageError
from stde_cli.system.prng import make_key


def pde_of(x: object = (-1, 1), **options) -> Symbolic:
    coordinates = {"t": [0, 1], "x": x}
    return Symbolic(2, coordinates=coordinates, residual="u_t - u_xx", key=make_key(0), **options)


T, X = np.linspace(0, 1, 9), np.linspace(-1, 1, 41)
GRID = {"t": T, "x": X, "values": np.exp(-T)[:, None] * np.sin(np.pi * X)}
POINTS = {"points": np.array([[0.1, 0.2], [0.5, -0.3], [1.0, 1.0]]), "values": np.arange(3.0)}


def read(arrays: Any, where: Path, pde: Symbolic) -> Samples | Tabulated:
    np.savez(where / "mine.npz", **arrays)
    return read_solution(where / "mine.npz", pde.layout, pde.domain)


@pytest.mark.parametrize("x", [[-1, 1], {"periodic": [-1, 1]}], ids=str)
def test_a_grid_is_interpolated(x: object, tmp_path: Path, float64: None) -> None:
    pde = pde_of(x)
    found = read(GRID, tmp_path, pde)
    assert isinstance(found, Tabulated)
    at = pde.domain.sample_interior(200, key=make_key(1))
    expected = np.exp(-at[:, 0]) * np.sin(np.pi * at[:, 1])
    np.testing.assert_allclose(jax.vmap(found)(at), expected, atol=2e-6)
    on_grid = jnp.array([T[3], X[7]])
    np.testing.assert_allclose(found(on_grid), GRID["values"][3, 7], rtol=1e-12)


def test_errors_are_at_the_points_of_the_file(tmp_path: Path, float64: None) -> None:
    pde = pde_of(solution=read(POINTS, tmp_path, pde_of()), constraint="1 + x")
    assert pde.solution is None
    assert pde.samples is not None
    ansatz = HardConstraint(lambda x: x[0], pde.constraint)
    evaluator = Evaluator(SampledResidual(pde, Exact()), 2)
    errors = evaluator.errors(ansatz, 1000, key=make_key(0))
    assert errors is not None
    points, values = POINTS["points"], POINTS["values"]
    u = points[:, 0] * (1 + points[:, 1])
    assert errors.rel_l2_error == pytest.approx(
        np.linalg.norm(u - values) / np.linalg.norm(values), rel=1e-12
    )
    assert held_against(pde) == HeldAgainst(f"data of {tmp_path / 'mine.npz'}")


BAD = {
    "no values": ({"points": POINTS["points"]}, "has no values, but points"),
    "width": (POINTS | {"points": np.zeros((3, 4))}, r"points have the shape \(3, 4\)"),
    "count": (POINTS | {"values": np.zeros(4)}, r"has 3 points, and values of shape \(4,\)"),
    "outside": (POINTS | {"points": np.full((3, 2), 3.0)}, "row 1 of points lies outside"),
    "nan": (POINTS | {"values": np.array([1.0, np.nan, 2.0])}, "values are not all finite"),
    "text": (POINTS | {"values": np.array(["a", "b", "c"])}, "values are no real numbers"),
    "missing name": ({"t": T, "values": T}, "beside values it has t"),
    "unknown name": (GRID | {"y": X}, "beside values it has t, x, y"),
    "shape": (
        GRID | {"values": GRID["values"].T},
        r"the values have the shape \(41, 9\), and t, x make \(9, 41\)",
    ),
    "order": (GRID | {"t": T[::-1]}, "t must be two numbers or more that rise"),
    "range": (GRID | {"t": 2 * T}, "t goes from 0 to 2, not from 0 to 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_a_file_is_told(name: str, tmp_path: Path) -> None:
    arrays, told = BAD[name]
    with pytest.raises(UsageError, match=f"pde.solution.file=.*mine.npz: {told}"):
        read(arrays, tmp_path, pde_of())


def test_the_whole_space_has_no_grid(tmp_path: Path) -> None:
    whole = Symbolic(
        1, coordinates={"x": {"gaussian": 1}}, residual="laplacian(u) + u", key=make_key(0)
    )
    x = np.linspace(-3, 3, 30)
    with pytest.raises(UsageError, match=r"mine.npz: x1 has no ends"):
        read({"x1": x, "values": np.sin(x)}, tmp_path, whole)


def test_what_is_no_such_file_is_told(tmp_path: Path) -> None:
    pde = pde_of()
    (tmp_path / "text.npz").write_text("no archive")
    np.save(tmp_path / "array.npy", T)
    for name, told in (("text.npz", "no .npz"), ("array.npy", "no .npz"), ("not.npz", "no such")):
        with pytest.raises(UsageError, match=f"{name}: .*{told}"):
            read_solution(tmp_path / name, pde.layout, pde.domain)
