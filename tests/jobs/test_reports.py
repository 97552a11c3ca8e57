"""Runs in groups, and their table."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from stde_cli.cli.main import main
from stde_cli.jobs.reports.groups import gather
from stde_cli.jobs.reproduction.cells import DONE, SOLVE, TOO_SLOW, Result
from stde_cli.jobs.reproduction.directory import ReproductionDirectory
from stde_cli.jobs.reproduction.page import page
from stde_cli.jobs.reproduction.tables import Scale, cells_of, load
from stde_cli.runs import results
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.summary import Summary

CONFIG = """\
dim: {dim}
seed: {seed}
steps: 100
run_dir: {name}
network: {{width: {width}}}
choices: {{pde: poisson, pde/solution: two_body, estimator: stde, tracker: jsonl}}
"""


def keep(name: str, *, seed: int, dim: int = 10, width: int = 8, **figures: object) -> None:
    run = RunDirectory(Path(name))
    run.path.mkdir(parents=True)
    run.write_config(CONFIG.format(name=name, seed=seed, dim=dim, width=width))
    summary = Summary("finished", pde="poisson", solution="two_body", dim=dim, seed=seed, steps=100)
    summary.steps_planned, summary.trivial_rel_l2_error = 100, 0.25
    for key, value in figures.items():
        setattr(summary, key, value)
    run.write_summary(summary)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two seeds of one width, another width, one that was killed and one that failed."""
    monkeypatch.chdir(tmp_path)
    keep("runs/a", seed=0, rel_l2_error=0.1, wall_seconds=4.0, peak_memory_mb=300.0)
    keep("runs/b", seed=1, rel_l2_error=0.2, wall_seconds=6.0, peak_memory_mb=500.0)
    keep("runs/wide", seed=0, width=64, rel_l2_error=0.05)
    keep("runs/killed", seed=2, status="running", steps=0, trivial_rel_l2_error=None)
    RunDirectory(Path("runs/killed")).append_metrics(
        {"step": 40, "rel_l2_error": 0.5, "trivial_rel_l2_error": 0.25, "seconds": 2.0}
    )
    keep("runs/failed", seed=3, status="failed", steps=7, rel_l2_error=None)
    return tmp_path


def rows_of(*places: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    capsys.readouterr()
    assert main(["report", *places, "--format", "csv"]) == 0
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def test_a_row_is_a_configuration_over_its_seeds(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of("runs", capsys=capsys)
    found = {(row["with"], row["status"]): row for row in rows}
    both = found["network.width=8", "finished"]
    assert (both["seeds"], both["error"], both["error std"]) == ("2", "0.15", "0.071")
    assert (both["trivial"], both["seconds"], both["MB"]) == ("0.25", "5", "500")
    assert [both[k] for k in ("pde", "solution", "dim", "method")] == [
        *("poisson", "two_body", "10", "stde")
    ]
    assert found["network.width=64", "finished"]["error"] == "0.05"
    killed = found["network.width=8", "killed"]
    assert (killed["steps"], killed["error"], killed["seconds"]) == ("40 of 100", "0.5", "2")
    assert found["network.width=8", "failed"]["steps"] == "7 of 100"
    assert len(rows) == 4


def test_the_error_at_a_point_has_a_column_where_one_is_wanted(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "at the point" not in rows_of("runs", capsys=capsys)[0]
    keep("wanted/a", seed=0, rel_error_at_point=1e-4)
    keep("wanted/b", seed=1, rel_error_at_point=3e-4)
    (row,) = rows_of("wanted", capsys=capsys)
    assert (row["at the point"], row["at the point std"]) == ("2e-4", "1.4e-4")
    assert main(["runs", "wanted"]) == 0
    assert "at the point" in (told := capsys.readouterr().out)
    assert "3.00e-04" in told


def test_what_differs_within_a_choice_is_told_too(runs: Path) -> None:
    """And what only comes with one is not."""
    for name, network, width in (("a", "other", 8), ("b", "other", 64), ("c", "third", 9)):
        keep(f"choices/{name}", seed=0, width=width)
        config = Path(f"choices/{name}/config.yaml")
        config.write_text(config.read_text().replace("{pde:", f"{{network: {network}, pde:"))
    assert sorted(group.difference for group in gather([Path("choices")])) == [
        "network=other, network.width=64",
        "network=other, network.width=8",
        "network=third, network.width=9",
    ]
    shutil.rmtree("choices/b")
    assert sorted(group.difference for group in gather([Path("choices")])) == [
        "network=other",
        "network=third",
    ]


def test_of_a_seed_the_newest_run_counts(runs: Path) -> None:
    keep("runs/again", seed=0, rel_l2_error=0.1)
    groups = gather([Path("runs")])
    assert sorted(len(group.runs) for group in groups) == [1, 1, 1, 2]


def test_a_run_that_cannot_be_read_is_a_row(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs/b/summary.json").write_text("{")
    Path("runs/wide/config.yaml").write_text("a: [")
    statuses = [row["status"] for row in rows_of("runs", capsys=capsys)]
    assert sorted(statuses) == ["failed", "finished", "finished", "killed", "unreadable"]
    assert main(["report", "runs"]) == 0
    assert "unreadable: runs/b" in capsys.readouterr().out


def test_jobs_of_a_sweep_that_never_began_are_missing(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fourth of them cannot be composed, and is told of all the same."""
    hydra: dict[str, Any] = {
        "job": {"config_name": "solve"},
        "overrides": {"task": ["seed=0,1", "pde=poisson,nowhere", "dim=7"]},
        "runtime": {"config_sources": [{"path": "hydra.conf", "provider": "hydra"}]},
        "sweeper": {"_target_": "hydra.BasicSweeper", "params": None},
    }
    Path("sweep").mkdir()
    Path("sweep/multirun.yaml").write_text(json.dumps({"hydra": hydra}))
    keep("sweep/0-poisson-two_body-d7-s0", seed=0, dim=7)
    keep("sweep/1-nowhere-d7-s0", seed=0, dim=7)
    rows = rows_of("sweep", capsys=capsys)
    missing = [row for row in rows if row["status"] == "missing"]
    assert [row["dim"] for row in rows] == ["7", "7", ""]
    assert [row["pde"] for row in missing] == ["poisson", ""]
    assert main(["report", "sweep", "--format", "markdown"]) == 0
    assert "missing: sweep/3 (seed=1 pde=nowhere dim=7)" in capsys.readouterr().out
    # Cells of a table that a launcher fills leave their runs elsewhere.
    hydra["job"]["config_name"] = "reproduce"
    Path("sweep/multirun.yaml").write_text(json.dumps({"hydra": hydra}))
    assert "missing" not in [row["status"] for row in rows_of("sweep", capsys=capsys)]


@pytest.mark.parametrize(
    ("name", "begins"),
    [("t.md", "| pde"), ("t.csv", "pde,"), ("t.tex", r"\begin{table}"), ("t.html", "<table>")],
)
def test_a_file_is_written_in_the_format_of_its_name(
    name: str, begins: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "runs/a", "runs/b", "--out", name]) == 0
    assert Path(name).read_text().startswith(begins)
    assert capsys.readouterr().out == f"table: {name}\n"


def test_a_reproduction_has_its_measurements_beside_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the names of the table's rows, wherever it lies; what is not done is a row too."""
    monkeypatch.chdir(tmp_path)
    table, place = load("table3"), tmp_path / "reproductions" / "smoke"
    rows = ("sdgd_backward_scan", "stde_sparse_16")
    scale = Scale("smoke", "published", 100, 1, 60.0, columns=(100, 1000), rows=rows)
    cells = cells_of(table, scale)
    places = [cell.at(Path("reproductions/smoke")) for cell in cells]
    with ReproductionDirectory(place, {"scale": "smoke"}).kept():
        page(table, "table3", scale, places).write(place, "table3")
        for each in places[:3]:
            each.path.mkdir(parents=True)
            figures = {"steps_per_second": 9.0, "temp_memory_mb": 7.0, "peak_memory_mb": 500.0}
            where = {"pde": "allen_cahn", "solution": "two_body", "points": 100, "note": None}
            where |= {"dim": each.cell.column, "batch": 16, "width": 128, "status": "measured"}
            results.append(each.bench, {"method": "stde", **where, **figures})
            each.write(Result(DONE))
        places[3].path.mkdir(parents=True)
        places[3].write(Result(TOO_SLOW, "not done in 60 s", limit_seconds=60.0))
    runs = [each for each in places if each.cell.kind == SOLVE]
    keep(str(runs[0].run), seed=0, dim=100, rel_l2_error=0.1)
    place.rename(tmp_path / "moved")
    assert main(["report", "moved", "--format", "csv"]) == 0
    of_runs, measured = capsys.readouterr().out.split("\n\n")
    statuses = [row["status"] for row in csv.DictReader(io.StringIO(of_runs))]
    assert sorted(statuses) == ["finished", "not done", "not done", "not done"]
    found = {(r["method"], r["dim"]): r for r in csv.DictReader(io.StringIO(measured))}
    assert set(found) == {(row, dim) for row in rows for dim in ("100", "1000")}
    done, slow = found["stde_sparse_16", "100"], found["stde_sparse_16", "1000"]
    assert (done["steps/s"], done["temp MB"], done["peak MB"]) == ("9", "7", "500")
    assert slow["steps/s"] == "too slow"
    html = tmp_path / "page.html"
    assert main(["report", "moved", "--html", str(html)]) == 0
    text = html.read_text()
    assert "<h2>Measurements</h2>" in text
    assert "not done in 60 s" in text
    assert ">temporary memory, MB<" in text
    capsys.readouterr()
    for run in Path("moved").glob("cells/*-seed0-*"):
        shutil.rmtree(run)
    (tmp_path / "moved" / "results.json").write_text(json.dumps(only_of_benches("moved")))
    assert main(["report", "moved"]) == 0
    assert "too slow" in capsys.readouterr().out


def only_of_benches(place: str) -> list[dict]:
    rows = json.loads((Path(place) / "results.json").read_text())
    return [row for row in rows if row["metric"] != "rel_l2_error"]
