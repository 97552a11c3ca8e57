"""Which cells are measured, in what order, and what becomes of their rows; nothing is computed."""

import csv
import io
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from omegaconf import DictConfig

from stde_cli.jobs.benchmarks import matrix, speed
from stde_cli.jobs.benchmarks.child import Unmeasured
from stde_cli.runs import results
from tests.end_to_end.command import Outcome, in_process

SPEEDS = {"stde": 40.0, "stde_unrestricted": 10.0, "exact": 5.0}


class Scripted:
    """Stands for a process: says who took a turn, and ends as the script has it."""

    turns: ClassVar[list[str]] = []
    ends: ClassVar[dict[str, Callable[["Scripted"], None]]] = {}
    alive: ClassVar[int] = 0

    def __init__(self, measure: Any, config: DictConfig, *, taken_bytes: int):
        assert measure is speed.measure
        self.name = f"{config.choices.estimator} {config.dim}"
        self.doing, self.seconds, self.spare_bytes = "compiling", 0.0, 1000
        self.config, self.taken_bytes = config, taken_bytes
        self.left = config.bench.blocks
        Scripted.alive += 1

    def turn(self, meanwhile: Callable[[], None], limit_seconds: float | None) -> Any:
        self.turns.append(self.name)
        if end := self.ends.get(self.name):
            end(self)
        meanwhile()
        self.left -= 1
        if self.left >= 0:
            return None
        rate = SPEEDS[self.config.choices.estimator] / self.config.dim
        return speed.Figures(steps_per_second=rate, temp_memory_mb=1.0, peak_memory_mb=3.0)

    def close(self) -> None:
        Scripted.alive -= 1


Bench = Callable[..., Outcome]


@pytest.fixture
def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Bench:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(matrix, "Child", Scripted)
    monkeypatch.setattr(Scripted, "turns", [])
    monkeypatch.setattr(Scripted, "ends", {})
    monkeypatch.setattr(Scripted, "alive", 0)
    common = ("bench.blocks=2", "bench.out=rows.jsonl")

    def run(*arguments: str) -> Outcome:
        Scripted.turns.clear()
        outcome = in_process("bench", *common, *arguments, capsys=capsys)
        assert Scripted.alive == 0
        return outcome

    return run


def rows() -> dict[str, results.Row]:
    found = results.read(Path("rows.jsonl"), lambda _: None)
    return {f"{row['method']} {row['dim']}": row for row in found}


def ends(status: str) -> Callable[[Scripted], None]:
    def end(_: Scripted) -> None:
        raise Unmeasured("as it was told", status)

    return end


def test_methods_of_one_setting_take_turns(bench: Bench) -> None:
    out = bench("bench.dims=[20,30]").check().out
    pair = ["stde 20", "stde_unrestricted 20"]
    assert Scripted.turns == 3 * pair + [name.replace("20", "30") for name in 3 * pair]
    assert [row["status"] for row in rows().values()] == ["measured"] * 4
    assert rows()["stde 20"]["beside"] == ["stde_unrestricted"]
    assert "stde_unrestricted, dim 30: 0.333 steps/s; 4 of 4 cells\n" in out


def test_what_does_not_fit_beside_another_is_measured_after_it(bench: Bench) -> None:
    def end(child: Scripted) -> None:
        if child.taken_bytes:
            raise Unmeasured("needs 9.0 GB", "oom")

    Scripted.ends["stde_unrestricted 20"] = end
    out = bench("bench.dims=[20]").check().out
    assert Scripted.turns == ["stde 20", "stde_unrestricted 20"] + 2 * ["stde 20"] + 3 * [
        "stde_unrestricted 20"
    ]
    row = rows()["stde_unrestricted 20"]
    assert (row["status"], row["beside"], row["steps_per_second"]) == ("measured", [], 0.5)
    assert "measured after stde: they do not fit side by side" in out


def test_the_same_command_goes_on_and_measures_again_what_it_is_told_to(bench: Bench) -> None:
    Scripted.ends |= {"stde 20": ends("timeout"), "stde_unrestricted 20": ends("oom")}
    out = bench("bench.dims=[20]").check().out
    assert {name: row["status"] for name, row in rows().items()} == {
        "stde 20": "timeout",
        "stde_unrestricted 20": "oom",
    }
    assert "as it was told" in out
    Scripted.ends.clear()
    assert " timeout " in bench("bench.dims=[20]").check().out
    assert Scripted.turns == []
    bench("bench.dims=[20]", "bench.retry=[timeout]").check()
    assert set(Scripted.turns) == {"stde 20"}
    assert rows()["stde 20"]["status"] == "measured"
    # Another configuration is another cell, and the rows that are there are left.
    other = bench("bench.dims=[20]", "seed=1", "bench.methods=[stde]", "bench.format=csv").check()
    assert len(other.out.splitlines()) == 2
    assert set(Scripted.turns) == {"stde 20"}
    assert Path("rows.jsonl").read_text().count("\n") == 4


def test_a_cell_that_failed_is_the_commands_failure(bench: Bench) -> None:
    """After the others, whose rows are there; a cell that did not fit is none."""
    Scripted.ends |= {"stde 20": ends("failed"), "stde 30": ends("oom")}
    failed = bench("bench.dims=[20,30]")
    assert failed.status == 1
    assert failed.err == "stde: 1 of 4 cells failed, the first stde, dim 20: as it was told\n"
    assert len(rows()) == 4
    assert " failed " in failed.out


def test_an_interrupt_leaves_what_is_done(bench: Bench) -> None:
    Scripted.ends["stde 30"] = lambda _: os.kill(os.getpid(), signal.SIGINT)
    stopped = bench("bench.dims=[20,30]")
    assert stopped.status == 130
    assert stopped.err == (
        "stde: stopped by SIGINT with 2 of 4 cells measured; "
        "the same command goes on with the others\n"
    )
    assert set(rows()) == {"stde 20", "stde_unrestricted 20"}
    assert "steps/s" in stopped.out
    Scripted.ends.clear()
    bench("bench.dims=[20,30]").check()
    assert set(Scripted.turns) == {"stde 30", "stde_unrestricted 30"}


DAMAGES: list[Callable[[str], str]] = [
    lambda line: line[:40],
    lambda line: line.replace('"method"', '"mothed"'),
    lambda line: line.replace('"dim": 20', '"dim": "20"'),
    lambda line: line.replace('"steps_per_second": 0.5', '"steps_per_second": "fast"'),
    lambda line: line.replace('"status": "measured"', '"status": null'),
]


def test_damaged_lines_are_named_and_the_rest_is_used(bench: Bench) -> None:
    """Those that are torn, and those of a cell that lack what a row of it has."""
    bench("bench.dims=[20,30]").check()
    file = Path("rows.jsonl")
    whole = file.read_text().splitlines()
    for damage in DAMAGES:
        lines = [whole[0], damage(whole[1]), *whole[2:]]
        file.write_text("\n".join(lines))
        again = bench("bench.dims=[20,30]").check()
        assert "warning: rows.jsonl: line 2 is damaged; kept in rows.jsonl.damaged" in again.err
        assert set(Scripted.turns) == {"stde_unrestricted 20"}
        assert len(rows()) == 4


def test_a_cell_that_cannot_be_is_a_row_and_a_method_without_any_is_refused(bench: Bench) -> None:
    out = bench("bench.dims=[8,20]", "bench.batches=[16]").check().out
    assert "stde, dim 8: estimator.batch=16: more directions than dim=8 has" in out
    assert rows()["stde 8"]["status"] == "refused"
    assert rows()["stde 20"]["status"] == "measured"
    Path("rows.jsonl").unlink()
    refused = bench("bench.dims=[8]", "bench.batches=[16]")
    assert refused.status == 2
    assert "estimator.batch=16" in refused.err
    assert not Path("rows.jsonl").exists()


def test_a_method_without_directions_stands_beside_every_number_of_them(bench: Bench) -> None:
    out = bench(
        *("bench.methods=[stde,stde_unrestricted,exact]", "bench.batches=[4,8]", "dim=20"),
        *("bench.widths=[8]", "bench.format=json", "bench.reference=exact"),
    ).check()
    shown = json.loads(out.out)
    assert [(row["method"], row["batch"], row["ratio"]) for row in shown] == [
        ("stde", 4, 8.0),
        ("stde_unrestricted", 4, 2.0),
        ("exact", None, 1.0),
        ("stde", 8, 8.0),
        ("stde_unrestricted", 8, 2.0),
    ]
    assert {row["width"] for row in shown} == {8}
    assert "of 5 cells" in out.err, "what is going on is no part of what is written"


def test_the_table_in_other_forms_and_a_plot(bench: Bench, tmp_path: Path) -> None:
    bench("bench.dims=[20,2000]", "bench.plot=speed.svg").check()
    plot = Path("speed.svg").read_text()
    for quantity in ("steps a second", "temporary memory, MB", "peak memory, MB"):
        assert f">{quantity}<" in plot
    text = bench("bench.dims=[20,2000]", "bench.format=csv").check().out
    first, *_ = csv.DictReader(io.StringIO(text))
    assert (first["method"], first["dim"], first["steps/s"]) == ("stde", "20", "2")
    assert "| stde " in bench("bench.dims=[20]", "bench.format=markdown").check().out


@pytest.mark.parametrize("row", ['{"step": 1, "loss": 2}\n', '{"cell": [1]}\n'])
def test_a_file_of_other_rows_is_left_alone(bench: Bench, row: str) -> None:
    Path("rows.jsonl").write_text(row)
    refused = bench("bench.dims=[20]")
    assert refused.status == 2
    assert "bench.out=rows.jsonl: holds other rows" in refused.err
    assert Path("rows.jsonl").read_text() == row
