import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.jobs.run import load
from stde_cli.problem.operators import Laplacian, Partial
from stde_cli.runs.directory import RunDirectory
from tests.end_to_end.command import in_process, stde


def test_predictions_agree_with_nested_derivatives(finished_run: Path, tmp_path: Path) -> None:
    """More points than a batch holds, an odd number of them, .npy and .csv alike."""
    from stde_cli.jobs.trained import load

    points = np.random.default_rng(0).normal(size=(2503, 6)) / 4
    np.save(tmp_path / "points.npy", points)
    header = ",".join(f"x{k}" for k in range(1, 7))
    np.savetxt(tmp_path / "points.csv", points, delimiter=",", header=header, comments="")
    for suffix in ("npy", "csv"):
        stde(
            "predict",
            str(finished_run),
            "--points",
            f"points.{suffix}",
            "--derivatives",
            "laplacian,u_x3,u_x1x1,u_x2x5",
            "--out",
            f"values.{suffix}",
            cwd=tmp_path,
        ).check()
    values = np.load(tmp_path / "values.npy")
    assert values.shape == (2503, 5)
    text = (tmp_path / "values.csv").read_text().splitlines()
    assert text[0] == "u,laplacian,u_x3,u_x1x1,u_x2x5"
    from_csv = np.array([[float(v) for v in line.split(",")] for line in text[1:]])
    np.testing.assert_allclose(from_csv, values, rtol=1e-4, atol=1e-4)

    ansatz = load(RunDirectory.open(finished_run)).ansatz
    operators = [Laplacian(), Partial((2,)), Partial((0, 0)), Partial((1, 4))]

    @jax.jit
    def expected(x: jax.Array) -> jax.Array:
        return jnp.stack([ansatz(x), *(operator.exact(ansatz, x) for operator in operators)])

    for row in (0, 1234, 2502):
        found = expected(jnp.asarray(points[row], jnp.float32))
        np.testing.assert_allclose(values[row], found, rtol=2e-3, atol=2e-4)


def test_evaluate_reports_fresh_errors(finished_run: Path, tmp_path: Path) -> None:
    arguments = ("--points", "500", "--json", "figures.json", "--plot", "history.png")
    out = stde("evaluate", str(finished_run), *arguments, cwd=tmp_path).check().out
    figures = json.loads((tmp_path / "figures.json").read_text())
    summary = json.loads((finished_run / "summary.json").read_text())
    assert 0.3 < figures["rel_l2_error"] / summary["rel_l2_error"] < 3
    assert figures["rel_l2_error"] != summary["rel_l2_error"]
    assert figures["laplacian_standard_error_of_one_draw"] > 0
    assert "rel_l2_error" in out
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")


def test_points_outside_the_domain_are_warned_of(finished_run: Path, tmp_path: Path) -> None:
    points = np.full((1203, 6), 0.1)
    points[[1101, 1201]] = 1
    np.save(tmp_path / "points.npy", points)
    arguments = ("--points", "points.npy", "--out", "values.npy")
    err = stde("predict", str(finished_run), *arguments, cwd=tmp_path).check().err
    assert err == (
        "stde: warning: 2 of 1,203 points lie outside the domain, where nothing was trained; "
        "the first is row 1102\n"
    )


def test_a_slice_is_what_predict_says_at_its_points(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "u.npz")
    what = ("--derivatives", "u_x2", "--slice", "x1=-0.5:0.5:3,x4=0:0.25:2,x2=0.125")
    in_process("predict", str(finished_run), *what, "--out", out, capsys=capsys).check()
    found = np.load(out)
    assert found["u"].shape == found["u_x2"].shape == (3, 2)
    x = np.zeros((3, 2, 6))
    x[..., 0], x[..., 3], x[..., 1] = found["x1"][:, None], found["x4"], found["x2"]
    u, slope = load(finished_run).predict(x.reshape(6, 6), derivatives="u_x2")
    np.testing.assert_allclose(found["u"].ravel(), u)
    np.testing.assert_allclose(found["u_x2"].ravel(), slope)


def test_a_fault_is_told_by_the_name_of_the_flag(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (str(finished_run), "--points", "none.npy", "--out", "v.npy")
    done = in_process("predict", *arguments, "--derivatives", "partial(u, y)", capsys=capsys)
    assert done.status == 2
    assert done.err.startswith("stde: --derivatives: the name y is not known at column 12")
