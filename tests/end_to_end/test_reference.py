"""stde reference: the value, where it is kept, and what a run makes of it."""

import json
from pathlib import Path

import pytest

from stde_cli.config.composition import compose
from stde_cli.jobs.reference import _key
from stde_cli.runs.cache import Cache
from tests.end_to_end.command import SMALL, in_process

ASKED = ("reference", "pde=semilinear_heat", "dim=10", "reference.out=found.json")


def test_a_value_is_found_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    first = in_process(*ASKED, capsys=capsys).check()
    assert first.out.startswith("value    0.46954987")
    assert "radial" in first.out
    assert "before" not in first.out
    found = json.loads(Path("found.json").read_text())
    assert set(found) == {"value", "error", "method", "seconds"}
    assert abs(found["value"] - 0.469550) < 5.1e-7
    # What is known of it changes nothing.
    again = in_process(*ASKED, "pde.reference=null", capsys=capsys).check()
    assert "(found before)" in again.out
    assert json.loads(Path("found.json").read_text()) == found
    (kept,) = (tmp_path / "cache").rglob("*.json")
    kept.write_text(kept.read_text().replace('"error"', '"err'))
    assert "before" not in in_process(*ASKED, capsys=capsys).check().out
    assert json.loads(kept.read_text())["value"] == pytest.approx(found["value"], abs=1e-9)


def test_what_a_run_found_is_what_it_is_evaluated_against(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not the value of its file, which here is none."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    problem = ("pde=semilinear_heat", "pde.reference=null", "reference=auto")
    in_process("solve", *problem, *SMALL, "run_dir=run", capsys=capsys).check()
    told = in_process("evaluate", "run", "--points", "10", capsys=capsys).check().out
    kept = json.loads(Path("run/summary.json").read_text())["reference_at_point"]
    assert ["reference_at_point", f"{kept:.6g}"] in map(str.split, told.splitlines())


def test_a_source_that_is_derived_is_part_of_the_question() -> None:
    """Two solutions may be alike where the data are, and apart at the wanted point."""
    first, second = (
        _key(compose("reference", ["pde=quadratic_gradient", *overrides]))
        for overrides in ([], ["pde.solution='sin((2*(T - t) + norm2(x)/d)**alpha)'"])
    )
    assert first != second


def test_a_cache_that_cannot_be_written_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    Cache("references").put({"a": 1}, {"b": 2})
    assert Cache("references").get({"a": 1}) is None
