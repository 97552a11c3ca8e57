"""Runs in groups, and their table."""

import csv
import io
import json
from pathlib import Path

import pytest

from stde_cli.cli.main import main
from stde_cli.jobs.reports.groups import gather
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
    hydra = {
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
