import json
from pathlib import Path

from tests.end_to_end.command import SMALL, stde

KEYS = {
    "method",
    "dim",
    "steps_per_second",
    "compile_seconds",
    "temp_memory_mb",
    "peak_memory_mb",
    "time_over_floor",
}


def test_bench_prints_a_table_and_writes_a_list(tmp_path: Path) -> None:
    out = stde(
        "bench",
        *SMALL,
        "bench.out=rows.json",
        "bench.blocks=2",
        "bench.block_seconds=0.05",
        "+bench.variants.wide=['network.width=16']",
        "bench.methods=[stde,wide,exact,stde_unrestricted]",
        cwd=tmp_path,
    ).check()
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["method"] for row in rows] == ["stde", "wide", "exact", "stde_unrestricted"]
    for row in rows:
        assert set(row) >= KEYS
        assert all(row[key] > 0 for key in KEYS - {"method"}), row
        assert row["method"] in out.out


def test_a_method_that_does_not_fit_gets_a_row_that_says_so(tmp_path: Path) -> None:
    out = stde(
        "bench",
        "dim=2000000000",
        "bench.methods=[stde]",
        "bench.out=rows.json",
        "bench.blocks=1",
        cwd=tmp_path,
    ).check()
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert row["steps_per_second"] is None
    assert "GB" in row["note"]
    assert row["note"] in out.out
