import json
from pathlib import Path

import pytest

from stde_cli.jobs.benchmarks import matrix
from tests.end_to_end.command import SMALL, in_process, stde
from tests.jobs.benchmarks.here import Here

KEYS = {
    "method",
    "dim",
    "batch",
    "width",
    "points",
    "steps_per_second",
    "spread_percent",
    "compile_seconds",
    "temp_memory_mb",
    "peak_memory_mb",
    "time_over_floor",
}


def rows_in(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_bench_prints_a_table_and_adds_rows_to_a_file(tmp_path: Path) -> None:
    out = stde(
        "bench",
        *SMALL,
        "bench.out=rows.jsonl",
        "bench.blocks=2",
        "bench.block_seconds=0.05",
        "+bench.variants.wide=['network.width=16']",
        "bench.methods=[wide,stde_unrestricted]",
        cwd=tmp_path,
    ).check()
    rows = rows_in(tmp_path / "rows.jsonl")
    assert [row["method"] for row in rows] == ["wide", "stde_unrestricted"]
    assert [row["beside"] for row in rows] == [["stde_unrestricted"], ["wide"]]
    for row in rows:
        assert set(row) >= KEYS
        assert all(row[key] > 0 for key in KEYS - {"method", "spread_percent"}), row
        assert row["method"] in out.out


def test_a_method_that_does_not_fit_gets_a_row_that_says_so(tmp_path: Path) -> None:
    out = stde(
        "bench",
        "dim=2000000000",
        "bench.methods=[stde]",
        "bench.out=rows.jsonl",
        "bench.blocks=1",
        cwd=tmp_path,
    ).check()
    (row,) = rows_in(tmp_path / "rows.jsonl")
    assert row["status"] == "oom"
    assert row["steps_per_second"] is None
    assert "GB" in row["note"]
    assert row["note"] in out.out


@pytest.mark.slow
def test_until_trains_as_solve_does_and_reports_the_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(matrix, "Child", Here)
    both = [*SMALL, "evaluation.every=10", "evaluation.monitor_points=200", "start=network"]
    in_process("solve", *both, "run_dir=run", capsys=capsys).check()
    lines = map(json.loads, (tmp_path / "run/metrics.jsonl").read_text().splitlines())
    errors = {line["step"]: line["rel_l2_error"] for line in lines if "rel_l2_error" in line}
    out = in_process(
        "bench",
        *both,
        f"bench.until={(errors[10] + errors[20]) / 2}",
        "+bench.variants.short=['steps=5','train.steps_per_call=1']",
        "bench.methods=[short,stde]",
        "bench.format=json",
        capsys=capsys,
    ).check()
    short, reached = json.loads(out.out)
    assert reached["steps"] == 20
    assert reached["steps_planned"] == 40
    assert reached["rel_l2_error"] == pytest.approx(errors[20], rel=1e-4)
    assert reached["seconds"] == reached["start_seconds"] + reached["train_seconds"] > 0
    assert reached["compile_seconds"] > 0
    assert reached["ratio"] == 1
    assert reached["note"] is None
    assert short["steps"] == short["steps_planned"] == 5
    assert short["seconds"] is None
    assert short["ratio"] is None
    assert short["best_rel_l2_error"] > errors[20]
    assert "in 5 steps" in short["note"]
