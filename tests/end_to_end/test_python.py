"""`import stde_cli as stde`, as a program or a notebook has it."""

import json
import logging
import os
import signal
import sys
import threading
import time
import types
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import stde_cli as stde
from stde_cli.system.errors import Interrupted
from tests.end_to_end.command import SMALL

POINTS = np.random.default_rng(0).normal(size=(5, 6)) / 4


@pytest.fixture(scope="module")
def run(finished_run: Path) -> stde.Run:
    return stde.load(finished_run)


def test_a_run_says_what_its_files_hold(run: stde.Run) -> None:
    written = json.loads((run.path / "summary.json").read_text())
    # A run may have been moved since.
    assert run.summary == written | {"run_dir": str(run.path)}
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


def test_no_points_to_evaluate_on(run: stde.Run) -> None:
    with pytest.raises(stde.UsageError, match="points=0: must be 1 or more"):
        run.evaluate(points=0)


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


def session() -> dict[str, object]:
    """What a notebook would notice if it changed."""
    root = logging.getLogger()
    settings = (
        "jax_enable_x64",
        "jax_default_matmul_precision",
        "jax_platforms",
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
    )
    return {
        "jax": [getattr(jax.config, name) for name in settings],
        "precision": jnp.result_type(float),
        "logging": (root.level, root.handlers[:], logging.getLogger("jax").level),
        "signals": [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)],
        "process": (list(sys.argv), list(sys.path), dict(os.environ), Path.cwd()),
        "streams": (sys.stdout, sys.stderr, sys.excepthook),
        "warnings": list(warnings.filters),
    }


def test_solve_is_the_command_and_leaves_the_session_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [f"runtime.compilation_cache={tmp_path / 'cache'}", "runtime.matmul_precision=high"]
    with jax.enable_x64(True):
        before = session()
        run = stde.solve(*SMALL, *overrides, steps=2, seed=3, run_dir=tmp_path / "run")
        assert session() == before
    assert capsys.readouterr().out.startswith("compiling\n")
    assert run.summary["command"].startswith("stde solve dim=6 steps=40 network.width=8 ")
    assert run.summary["command"].endswith(f"steps=2 seed=3 run_dir={tmp_path}/run")
    assert (run.step, run.summary["seed"], run.summary["status"]) == (2, 3, "finished")
    assert run.predict(POINTS).dtype == np.float32
    assert jax.tree.leaves(run.field)[0].dtype == np.float32


def test_a_fault_is_the_commands_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(stde.UsageError) as caught:
        stde.solve("pde=allen_kahn")
    assert str(caught.value).startswith("pde=allen_kahn: no such choice; did you mean allen_cahn?")
    place = tmp_path / "run"
    with pytest.raises(stde.UsageError, match=r"^network.block_size=4: does not divide dim=6"):
        stde.solve(*SMALL, "network.block_size=4", network="weight_sharing", run_dir=place)
    assert not place.exists()


def test_an_interrupt_saves_and_is_one_of_pythons(tmp_path: Path) -> None:
    metrics, place = tmp_path / "run" / "metrics.jsonl", tmp_path / "run"

    def interrupt() -> None:
        while not (metrics.exists() and metrics.read_text()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt, daemon=True)
    handler = signal.getsignal(signal.SIGINT)
    thread.start()
    with pytest.raises(
        KeyboardInterrupt, match=r"^stopped by SIGINT after step .* saved"
    ) as caught:
        stde.solve(*SMALL, "train.log_every=1", steps=10**8, run_dir=place)
    assert isinstance(caught.value.__cause__, Interrupted)
    assert signal.getsignal(signal.SIGINT) is handler
    assert stde.load(place).step > 0
    assert stde.load(place).summary["status"] == "interrupted"


def test_another_signal_takes_its_effect_when_the_state_is_saved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def launch(*_: object, **__: object) -> None:
        raise Interrupted("stopped", signal.SIGTERM)

    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    monkeypatch.setattr("stde_cli.jobs.run.launch", launch)
    try:
        with pytest.raises(stde.StdeError, match="stopped"):
            stde.solve(*SMALL)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == [signal.SIGTERM]


@pytest.mark.slow
def test_a_run_in_float64_outside_the_main_thread(tmp_path: Path) -> None:
    """Its field is in the session's precision, what it computes itself in its own."""
    found: list[stde.Run] = []

    def solve() -> None:
        overrides = (*SMALL, "runtime.precision=float64")
        found.append(stde.solve(*overrides, steps=1, run_dir=tmp_path / "run"))

    thread = threading.Thread(target=solve)
    thread.start()
    thread.join()
    (run,) = found
    u, laplacian = run.predict(POINTS, derivatives="laplacian")
    assert u.dtype == laplacian.dtype == np.float64
    assert {leaf.dtype for leaf in jax.tree.leaves(run.field)} == {np.dtype(np.float32)}
    x = jnp.asarray(POINTS[0], jnp.float32)
    assert run.solution is not None
    assert run.solution(x).dtype == np.float32
    np.testing.assert_allclose(
        np.trace(jax.jit(jax.hessian(run.field))(x)), laplacian[0], rtol=1e-3
    )
    with jax.enable_x64(True):
        x = jnp.asarray(POINTS[0])
        hessian = jax.jit(jax.hessian(run.field))(x)
        np.testing.assert_allclose(np.trace(hessian), laplacian[0], rtol=1e-9)
