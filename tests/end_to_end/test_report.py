"""`stde report` over runs that were made: the page, in a browser too where there is one."""

import shutil
import subprocess
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from stde_cli.config.build import build
from stde_cli.config.composition import compose
from stde_cli.jobs import solve
from stde_cli.jobs.reports.solution import see
from stde_cli.jobs.trained import Trained
from stde_cli.runs.directory import RunDirectory
from tests.end_to_end.command import SMALL, Outcome, in_process, stde
from tests.runs.test_pages import check_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A run with report=true, and what was shown."""
    where = tmp_path_factory.mktemp("reported")
    arguments = (*SMALL, "run_dir=runs/one", "report=true")
    return where / "runs" / "one", stde("solve", *arguments, cwd=where).check()


def test_a_run_writes_its_page_and_says_where_it_is(reported: tuple[Path, Outcome]) -> None:
    run, outcome = reported
    assert "\n  report  runs/one/report.html\n" in outcome.out
    text = (run / "report.html").read_text()
    assert check_page(text).tags["figure"] == 2
    for words in ("allen_cahn", "stde", "trivial baseline", "predicted against exact values"):
        assert words in text


def test_a_page_that_cannot_be_written_loses_no_run(
    reported: tuple[Path, Outcome], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def full(*_, **__) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("stde_cli.jobs.reports.page.write_page", full)
    config = compose("solve", ["report=true"])
    solve._write_report(config, RunDirectory(reported[0]))
    told = capsys.readouterr().err
    assert told.startswith("stde: warning: ")
    assert "report.html was not written (No space left on device)" in told


def test_the_page_of_a_directory(
    reported: tuple[Path, Outcome], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a run in more dimensions, one whose checkpoint is gone, and one that cannot be read."""
    runs = tmp_path / "<runs>"
    shutil.copytree(reported[0], runs / "one")
    for name in ("wide", "torn"):
        shutil.copytree(reported[0], runs / name, ignore=shutil.ignore_patterns("checkpoints"))
    for name in ("config.yaml", "summary.json"):
        file = runs / "wide" / name
        changed = file.read_text().replace("dim: 6", "dim: 60").replace('"dim": 6', '"dim": 60')
        file.write_text(changed)
    (runs / "torn" / "summary.json").write_text("{")
    page = tmp_path / "page.html"
    done = in_process("report", str(runs), "--html", str(page), capsys=capsys).check()
    assert done.out == f"page: {page}\n"
    text = page.read_text()
    # Training in 6 and 60 dimensions, what both cost, and what was found in 6.
    assert check_page(text).tags["figure"] == 4
    assert "<h2>Speed and memory</h2>" in text
    assert "unreadable: " in text
    assert "<runs>" not in text


@pytest.mark.parametrize(
    ("pde", "planes"),
    [
        (["pde=kdv_1d"], [("t", "x", "")]),
        (["pde=wave"], [("x", "y", "t = 0.5"), ("x", "y", "t = 1")]),
        (["pde=poisson", "dim=2", "estimator.batch=2"], [("x1", "x2", "")]),
        (["pde=poisson", "dim=5", "estimator.batch=2"], []),
        (["pde=fokker_planck_log", "dim=5", "estimator.batch=2"], []),
    ],
    ids=lambda value: value[0] if value and isinstance(value[0], str) else "",
)
def test_what_is_seen_of_a_solution(pde: list[str], planes: list[tuple[str, str, str]]) -> None:
    """With the exact solution for the field that was trained: both are the same then."""
    config = compose("solve", pde)
    built = build(config)
    exact = built.problem.pde.solution
    seen = see(Trained(config, built, exact, 0))  # pyright: ignore[reportArgumentType]
    assert [(*plane.names, plane.title) for plane in seen.planes] == planes
    for plane in seen.planes:
        np.testing.assert_array_equal(plane.u, plane.exact)
        # A value of the first coordinate a column.
        row, column = 40, 60
        x = {plane.names[0]: plane.values[0][column], plane.names[1]: plane.values[1][row]}
        x |= {"t": float(plane.title[4:])} if plane.title else {}
        assert exact is not None
        point = [x[built.problem.pde.layout.label(k)] for k in range(len(x))]
        np.testing.assert_allclose(plane.u[row, column], exact(jax.numpy.array(point)), rtol=1e-4)
    # Outside the disk there is nothing to see.
    assert any(np.isnan(plane.u[0, 0]) for plane in seen.planes) == (pde[1:2] == ["dim=2"])
    if not planes:
        assert seen.lines is not None
        assert seen.scattered is not None
        assert seen.lines.u.shape == (3, 65)
        assert np.isfinite(seen.lines.u).all()
        np.testing.assert_array_equal(seen.lines.u, seen.lines.exact)
        assert seen.scattered.u.shape == (256,)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
@pytest.mark.parametrize(("width", "background"), [(1100, "light"), (400, "dark")])
def test_a_browser_shows_the_page(
    width: int, background: str, reported: tuple[Path, Outcome], tmp_path: Path
) -> None:
    assert CHROMIUM
    dark = ["--blink-settings=preferredColorScheme=0"] if background == "dark" else []
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *(f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},1600", *dark),
            *("--enable-logging=stderr", f"--screenshot={tmp_path / 'page.png'}"),
            f"file://{reported[0] / 'report.html'}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "CONSOLE" not in done.stderr
    picture = np.asarray(Image.open(tmp_path / "page.png").convert("L"), float)
    assert picture.shape == (1600, width)
    # Mostly paper, and ink on it down to where the pictures are.
    paper = np.median(picture)
    assert paper > 240 if background == "light" else paper < 40
    assert (np.abs(picture[800:] - paper) > 60).mean() > 0.005
