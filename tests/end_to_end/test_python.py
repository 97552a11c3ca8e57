"""`import stde_cli as stde`, as a program or a notebook has it."""

import json
import sys
import types
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import stde_cli as stde

POINTS = np.random.default_rng(0).normal(size=(5, 6)) / 4


@pytest.fixture(scope="module")
def run(finished_run: Path) -> stde.Run:
    return stde.load(finished_run)


def test_a_run_says_what_its_files_hold(run: stde.Run) -> None:
    assert run.summary == json.loads((run.path / "summary.json").read_text())
    assert run.step == run.summary["steps"] == 40
    assert repr(run).startswith(f"Run({str(run.path)!r}: allen_cahn, dim 6, 40 steps, finished, ")


def test_metrics_are_rows_and_a_frame_where_pandas_is(
    run: stde.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    rows = run.metrics()
    assert [row["step"] for row in rows][-1] == 40
    pandas = types.SimpleNamespace(DataFrame=lambda rows: {"frame": rows}, __spec__=True)
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    assert run.metrics() == {"frame": rows}


def test_predictions_are_those_of_the_field(run: stde.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamed, and of one point alone; u by itself, and with derivatives."""
    monkeypatch.setattr("stde_cli.jobs.trained._LARGEST_BATCH", 2)
    field, points = run.field, jnp.asarray(POINTS, jnp.float32)
    hessians = jax.jit(jax.vmap(jax.hessian(field)))(points)
    u, laplacian, mixed = run.predict(POINTS, derivatives=["laplacian", "u_x2x5"])
    np.testing.assert_allclose(u, jax.vmap(field)(points), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(laplacian, np.trace(hessians, axis1=1, axis2=2), rtol=1e-3)
    np.testing.assert_allclose(mixed, hessians[:, 1, 4], rtol=1e-3, atol=1e-5)
    alone = run.predict(points[0].tolist())
    assert alone.shape == ()
    np.testing.assert_allclose(alone, u[0], rtol=1e-6)
    np.testing.assert_allclose(run.predict(points), u, rtol=1e-6)


def test_points_outside_the_domain_are_warned_of(run: stde.Run) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.predict(POINTS[:2] / 2)
    with pytest.warns(UserWarning, match="1 of 2 points lie outside .* the first is row 2"):
        run.predict([[0.1] * 6, [1] * 6])


@pytest.mark.parametrize(
    ("points", "derivatives", "told"),
    [
        (POINTS[:, :5], [], "points: is an array of shape (5, 5) and type float64; give numbers"),
        ("abc", [], "points: is an array of shape () and type <U3"),
        (POINTS[:0], [], "points: holds no points"),
        (POINTS * [[1]] * np.array([[1], [1], [np.nan], [1], [1]]), [], "points: row 3 is not fin"),
        (POINTS, ["u_x9"], "derivatives=u_x9: unknown derivative; write laplacian, or"),
    ],
)
def test_faults_are_told(run: stde.Run, points, derivatives, told: str) -> None:
    with pytest.raises(stde.UsageError) as caught:
        run.predict(points, derivatives=derivatives)
    assert str(caught.value).startswith(told), caught.value


def test_a_field_of_another_precision_than_the_session(run: stde.Run) -> None:
    with jax.enable_x64(True):
        u = jax.vmap(run.field)(jnp.asarray(POINTS))
        predicted = run.predict(POINTS)
        assert jnp.result_type(float) == jnp.float64
    assert predicted.dtype == np.float32
    np.testing.assert_allclose(u, predicted, rtol=1e-4, atol=1e-6)


def test_evaluate_finds_what_the_command_does(run: stde.Run) -> None:
    figures = run.evaluate(500)
    assert (figures["step"], figures["points"]) == (40, 500)
    assert 0.3 < figures["rel_l2_error"] / run.summary["rel_l2_error"] < 3
