"""Tables of the paper: their data, and how cells are filled, by commands that stand for stde's."""

import csv
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stde_cli.config.build import build_pde
from stde_cli.config.composition import compose, config_directory
from stde_cli.config.validate import validate
from stde_cli.jobs.reproduction import expectation, filling
from stde_cli.jobs.reproduction.cells import (
    BENCH,
    DONE,
    FAILED,
    KILLED,
    OOM,
    REFUSED,
    SOLVE,
    TOO_SLOW,
    Cell,
    Place,
    Result,
)
from stde_cli.jobs.reproduction.drawing import panels_of
from stde_cli.jobs.reproduction.filling import Filling
from stde_cli.jobs.reproduction.page import page
from stde_cli.jobs.reproduction.tables import PaperTable, Scale, cells_of, load, names
from stde_cli.system.errors import Interrupted
from stde_cli.system.interrupts import Interrupts
from tests.runs.test_pages import check_page


def scale_of(table: PaperTable, **changes: Any) -> Scale:
    usual = Scale("smoke", "published", 100, 2, cell_seconds=60.0, columns=table.columns.smoke)
    return replace(usual, **changes)


def published(number: int) -> Iterator[dict[str, str]]:
    text = (config_directory() / "reproduce" / "published.csv").read_text()
    return (row for row in csv.DictReader(text.splitlines()) if row["table"] == str(number))


# What the tables are.


def test_cells_of_one_command_are_one() -> None:
    """What tables have in common is measured once."""
    speed, memory, both = (
        {cell.name for cell in cells_of(table, scale_of(table, columns=(100,), seeds=1))}
        for table in map(load, ("table1", "table2", "table3"))
    )
    assert speed == memory
    assert speed < both


@pytest.mark.parametrize("name", names())
def test_every_published_figure_has_its_cell(name: str) -> None:
    """And no other: what a row shows is what the paper has for its equation and method."""
    table = load(name)
    found = [
        (figure, printed.value)
        for row in table.rows
        if "as published" not in row.name
        for figure in table.figures_of(row)
        for column in table.columns.paper
        if (printed := table.printed(row, figure, column))
    ]
    # What no row here trains for: PyTorch is measured alone.
    lines = [
        (line["metric"], line["value"])
        for line in published(table.number)
        if not (line["method"] == "sdgd_backward_pytorch" and "error" in line["metric"])
        and line["metric"] in table.figures
    ]
    assert sorted(found) == sorted(lines)


@pytest.mark.parametrize(
    ("name", "row", "figure", "column", "printed"),
    [
        ("table1", "stde_sparse_100", "speed_it_per_s", 100, None),
        ("table11", "kdv_2d stde", "speed_it_per_s", "L=16", None),
        ("table10", "block 1", "parameters", 1_000_000, "128033281"),
        ("table3", "sdgd_backward_pytorch", "memory_mb", 1_000_000, "OOM"),
    ],
)
def test_a_published_figure(name, row, figure, column, printed: str | None) -> None:
    table = load(name)
    found = table.printed(next(r for r in table.rows if r.name == row), figure, column)
    assert found is not None
    assert printed is None or str(found) == printed


# Those of table 2 are those of table 1.
@pytest.mark.parametrize("name", [name for name in names() if name != "table2"])
def test_the_commands_are_ones_that_stde_takes(name: str) -> None:
    """The first column of each row, measured and trained."""
    table = load(name)
    scale = scale_of(table, seeds=1, columns=table.columns.smoke[:1])
    for cell in cells_of(table, scale):
        config = compose(cell.kind, cell.command[1:])
        validate(config)
        build_pde(config)
        if cell.kind == BENCH:
            assert config.bench.methods[0] in config.bench.variants


def test_a_recipe_of_ours_is_for_rows_of_ours() -> None:
    table = load("table3")
    cells = cells_of(table, scale_of(table, recipe="accurate", recipe_overrides=("start=x",)))
    assert {cell.row for cell in cells} == {"stde_sparse_100", "stde_sparse_16"}
    assert all("start=x" in cell.command for cell in cells)


def test_what_takes_more_is_expected_to() -> None:
    table = load("table1")
    scale = scale_of(table, columns=(100, 100_000), cell_seconds=None)
    expected = expectation.Expectation(table, scale, 1e9)
    found = {(cell.row, cell.column): expected(cell) for cell in cells_of(table, scale)}
    ours, exact = found["stde_sparse_100", 100_000], found["forward_laplacian", 100_000]
    assert found["stde_sparse_100", 100].seconds < ours.seconds < exact.seconds
    assert found["stde_sparse_100", 100].memory_mb < ours.memory_mb < exact.memory_mb


@pytest.mark.parametrize(
    ("name", "row", "column", "steps_per_second", "memory_mb"),
    [
        ("table1", "sdgd_backward_pytorch", 100, 5.08, 683),
        ("table1", "sdgd_backward_pytorch", 10_000, 0.524, 3952),
        ("table1", "sdgd_backward_scan", 1000, 3.08, 620),
        ("table1", "sdgd_backward_scan", 10_000, 0.753, 709),
        ("table1", "sdgd_backward_vmap", 10_000, 0.495, 2398),
        ("table1", "sdgd_forward_over_backward", 10_000, 0.442, 2841),
        ("table1", "forward_laplacian", 100, 19.7, 529),
        ("table1", "forward_laplacian", 10_000, 0.157, 7051),
        ("table1", "stde_sparse_100 as published", 10_000, 2.14, 1418),
        ("table1", "stde_sparse_100 as published", 100_000, 0.108, 11676),
        ("table1", "stde_sparse_100", 100, 34.8, 526),
        ("table1", "stde_sparse_100", 100_000, 5.32, 839),
        ("table10", "block 1", 100_000, 4.25, 818),
        ("table10", "block 1000", 100_000, 5.61, 690),
    ],
)
def test_what_is_expected_is_near_what_was_measured(
    name: str, row: str, column: int, steps_per_second: float, memory_mb: float
) -> None:
    """On two cores that were shared, where stde took 32.6 steps a second at 1 000 D."""
    table = load(name)
    scale = scale_of(table, columns=(column,), rows=(row,), cell_seconds=None)
    (cell, *_) = cells_of(table, scale)
    at_1000 = expectation._sizes(("dim=1000", "estimator.batch=100"))
    rate = 32.6 * expectation.multiplications("stde", at_1000)
    expected = expectation.Expectation(table, scale, rate)(cell)
    method = next(r.method for r in table.rows if r.name == row)
    sizes = expectation._sizes(cell.command)
    steps = rate / expectation.multiplications(method, sizes)
    assert 1 / 3 < steps / steps_per_second < 3
    assert 1 / 3 < expected.memory_mb / memory_mb < 3


# How they are filled. A cell's command is a piece of Python that does what stde would.

MEASURED = 'open("{out}", "w").write(\'{{"steps_per_second": 5.0, "peak_memory_mb": 7.0}}\\n\')'
CELL = Cell("a-bench", (BENCH, "steps=10"), row="a", column=100)
RUN = Cell("a-seed0", (SOLVE, "steps=10"), row="a", column=100)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The pieces of Python, by the cells' names."""
    codes: dict[str, str] = {}

    def command(place: Place) -> list[str]:
        code = codes[place.cell.label].format(out=place.bench, here=place.path)
        return [sys.executable, "-S", "-c", code]

    monkeypatch.setattr(filling, "_command", command)
    return codes


def fill(
    tmp_path: Path, *cells: Cell, seconds: float | None = 60.0, interrupts: Interrupts | None = None
) -> dict[str, Result]:
    ended: dict[str, Result] = {}

    def told(cell: Cell, result: Result | None) -> None:
        if result:
            ended[cell.label] = result

    places = [cell.at(tmp_path) for cell in cells]
    Filling(places, cells, seconds, interrupts=interrupts or Interrupts()).fill(told)
    return ended


def test_a_cell_is_filled_once(tmp_path: Path, commands: dict[str, str]) -> None:
    commands["a-bench"] = MEASURED
    found = fill(tmp_path, CELL)["a-bench"]
    assert found.status == DONE
    assert found.figures == {"speed_it_per_s": 5.0, "memory_mb": 7.0}
    assert fill(tmp_path, CELL) == {}
    assert CELL.at(tmp_path).read() == found


@pytest.mark.parametrize(
    ("code", "status", "reason", "is_final"),
    [
        ("import sys; sys.exit('stde: dim=0: must be 1')", FAILED, "dim=0: must be 1", False),
        ("import sys; sys.exit('stde: dim=9: out of memory')", OOM, "dim=9: out of memory", True),
        (
            'open("{out}", "w").write(\'{{"note": "broke", "status": "failed"}}\')',
            FAILED,
            "broke",
            False,
        ),
        (
            "import sys; print('stde: dim=0: must be 1'); sys.exit(2)",
            REFUSED,
            "dim=0: must be 1",
            False,
        ),
        ("import os; os.kill(os.getpid(), 9)", KILLED, "killed", False),
        ("import time; time.sleep(60)", TOO_SLOW, "not done in 0.3 s", True),
        (
            'open("{out}", "w").write(\'{{"note": "needs 9 GB", "status": "oom"}}\')',
            OOM,
            "needs 9 GB",
            True,
        ),
        (
            'open("{out}", "w").write(\'{{"note": "no torch", "status": "refused"}}\')',
            REFUSED,
            "no torch",
            False,
        ),
    ],
)
def test_what_goes_wrong_is_told(
    code: str, status: str, reason: str, is_final: bool, tmp_path: Path, commands: dict[str, str]
) -> None:
    """What may go better is tried again by the next call, and not by this one."""
    commands["a-bench"] = code
    limit = 0.3 if status == TOO_SLOW else 60.0
    found = fill(tmp_path, CELL, seconds=limit)["a-bench"]
    assert (found.status, found.reason) == (status, reason)
    assert found.is_final(limit) == is_final
    assert status != TOO_SLOW or not found.is_final(None)
    commands["a-bench"] = MEASURED
    again = fill(tmp_path, CELL, seconds=limit)
    assert [result.status for result in again.values()] == ([] if is_final else [DONE])


@pytest.mark.parametrize(
    ("measured", "status", "reason"),
    [
        (Result(OOM, "needs 9 GB"), OOM, "needs 9 GB"),
        (Result(DONE, figures={"speed_it_per_s": 0.1}), TOO_SLOW, "10 steps would take 100 s"),
        (Result(DONE, figures={"speed_it_per_s": 10.0}), FAILED, "ended with status 3"),
    ],
)
def test_a_measurement_spares_a_run_that_cannot_end(
    measured: Result, status: str, reason: str, tmp_path: Path, commands: dict[str, str]
) -> None:
    commands["a-seed0"] = "import sys; sys.exit(3)"
    beside = CELL.at(tmp_path)
    beside.path.mkdir(parents=True)
    beside.write(measured)
    found = fill(tmp_path, CELL, RUN)["a-seed0"]
    assert (found.status, found.reason) == (status, reason)


def test_two_at_once_fill_each_cell_once(tmp_path: Path, commands: dict[str, str]) -> None:
    """Each waits for what the other is at: both end with the table full."""
    cells = [Cell(f"{k}-bench", (BENCH,), row=str(k), column=100) for k in range(4)]
    count = "open({here!r} + '/count', 'a').write('x'); import time; time.sleep(0.1); "
    count = count.replace("{here!r}", "'{here}'")
    commands |= {cell.label: count + MEASURED for cell in cells}
    threads = [threading.Thread(target=fill, args=(tmp_path, *cells)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place in (cell.at(tmp_path) for cell in cells):
        assert (place.path / "count").read_text() == "x"
        assert place.read()


def test_a_command_keeps_its_cell_though_its_parent_is_killed(
    tmp_path: Path, commands: dict[str, str]
) -> None:
    waiting = """import time, pathlib
open('{here}/begun', 'w')
while not pathlib.Path('{here}/go').exists(): time.sleep(.01)"""
    commands["a-bench"] = f"{waiting}\n{MEASURED}"
    place = CELL.at(tmp_path)
    if not (parent := os.fork()):
        fill(tmp_path, CELL)
        os._exit(0)
    while not (place.path / "begun").exists():
        pass
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    with place.locked() as lock:
        assert lock is None
    (place.path / "go").touch()
    commands["a-bench"] = "raise AssertionError"
    # What the orphan finds is taken up.
    assert fill(tmp_path, CELL)["a-bench"].status == DONE


def test_an_interrupt_stops_the_command_and_leaves_the_cell_empty(
    tmp_path: Path, commands: dict[str, str]
) -> None:
    commands["a-bench"] = "import time; open('{here}/begun', 'w'); time.sleep(60)"
    interrupts, place = Interrupts(), CELL.at(tmp_path)

    def interrupt() -> None:
        while not (place.path / "begun").exists():
            pass
        interrupts.received = signal.SIGTERM

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Interrupted, match="the same command goes on"):
        fill(tmp_path, CELL, interrupts=interrupts)
    thread.join()
    assert place.read() is None
    with place.locked() as lock:
        assert lock is not None


def test_a_damaged_result_is_kept_aside(
    tmp_path: Path, commands: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    commands["a-bench"] = MEASURED
    place = CELL.at(tmp_path)
    place.path.mkdir(parents=True)
    place.result.write_text('{"status": "do')
    assert fill(tmp_path, CELL)["a-bench"].status == DONE
    assert (place.path / "result.json.damaged").read_text() == '{"status": "do'
    assert f"{place.result} is damaged" in capsys.readouterr().err


# What is shown.


def test_ours_stands_beside_the_published(tmp_path: Path) -> None:
    table = load("table3")
    scale = scale_of(table, columns=(100, 1_000_000), rows=("sdgd_backward_scan",))
    places = [cell.at(tmp_path) for cell in cells_of(table, scale)]
    for place in places:
        place.path.mkdir(parents=True)
        if place.cell.column != 100:
            place.write(Result(OOM, "needs 90 GB"))
        elif place.cell.kind == BENCH:
            figures = {"speed_it_per_s": 81.26, "memory_mb": 553.0}
            place.write(Result(DONE, figures=figures, device="cpu"))
        else:
            error = 0.002 if place.cell.label.endswith("seed0") else 0.004
            figures = {"rel_l2_error": error, "trivial_rel_l2_error": 0.1}
            place.write(Result(DONE, figures=figures, device="cpu"))
    found = page(table, "table3", scale, places)
    speed, memory, errors = (each.rows for each in found.tables)
    assert speed == (
        ("sdgd_backward_scan", "81.3", "OOM"),
        ("  published", "40.63", "OOM"),
        ("  ratio", "2", "—"),
    )
    assert memory[2] == ("  ratio", "1", "—")
    assert errors[0] == ("sdgd_backward_scan", "3e-3 ± 1.4e-3", "OOM")
    assert errors[-1] == ("  trivial baseline", "0.1", "—")
    notes = "\n".join(found.tables[-1].notes)
    assert "Device: cpu" in notes
    assert "100 steps, 2 seeds (published: 10,000 steps, 5 seeds)" in notes
    written = found.write(tmp_path, "table3")
    assert {path.suffix for path in written} == {".json", ".md", ".csv", ".tex", ".html", ".svg"}
    rows = json.loads(written[0].read_text())
    first = rows[0]
    assert (first["metric"], first["dim"], first["ours"]) == ("speed_it_per_s", 100, 81.26)
    assert (first["published"], first["status"]) == (40.63, DONE)
    (error,) = [row for row in rows if row["metric"] == "rel_l2_error" and row["dim"] == 100]
    assert error["std"] == pytest.approx(0.002 / 2**0.5)
    assert error["trivial"] == pytest.approx(0.1)
    assert len(error["commands"]) == 2
    # Other tables' rows stay; a file that is none is kept aside.
    other = rows[0] | {"table": "table9"}
    written[0].write_text(json.dumps([other, *rows]))
    found.write(tmp_path, "table3")
    assert json.loads(written[0].read_text()) == [other, *rows]
    for torn in ({"table": "table9"}, other | {"commands": None}, 3):
        written[0].write_text(json.dumps([torn, other]))
        found.write(tmp_path, "table3")
        assert json.loads(written[0].read_text()) == [other, *rows]
        assert json.loads((tmp_path / "results.json.damaged").read_text()) == [torn, other]
    written[0].write_text("[{")
    found.write(tmp_path, "table3")
    assert json.loads(written[0].read_text()) == rows
    assert (tmp_path / "results.json.damaged").read_text() == "[{"


def test_a_figure_is_drawn_with_what_stands_beside_it(tmp_path: Path) -> None:
    """Beside its table and in its page; of the paper's own points no numbers are known."""
    table = load("figure5")
    scale = scale_of(table, rows=("100 D", "1000 D"), columns=(1, 4, 16), seeds=1)
    places = [cell.at(tmp_path) for cell in cells_of(table, scale)]
    empty = page(table, "figure5", scale, places)
    assert tmp_path / "figure5.svg" not in empty.write(tmp_path, "figure5")
    for place in places[:-1]:
        place.path.mkdir(parents=True)
        error = 0.01 / int(place.cell.column)
        place.write(Result(DONE, figures={"rel_l2_error": error, "trivial_rel_l2_error": 0.1}))
    found = page(table, "figure5", scale, places)
    (panel,) = found.panels
    assert (panel.x_label, panel.y_label) == ("sampled directions", "relative L2 error")
    assert [(each.name, each.kind, each.y) for each in panel.series] == [
        ("100 D", "measured", [0.01, 0.0025, 0.000625]),
        ("100 D", "trivial", [0.1, 0.1, 0.1]),
        ("1000 D", "measured", [0.01, 0.0025, None]),
        ("1000 D", "trivial", [0.1, 0.1, None]),
    ]
    with_a_point_of_the_papers = [{**row, "published": 0.02} for row in found.results]
    kinds = [each.kind for each in panels_of(table, with_a_point_of_the_papers)[0].series]
    assert kinds == 2 * ["measured", "trivial", "published"]
    assert tmp_path / "figure5.svg" in found.write(tmp_path, "figure5")
    words = (">sampled directions<", ">relative L2 error<", ">100 D<", ">trivial baseline<")
    assert all(word in (tmp_path / "figure5.svg").read_text() for word in words)
    html = (tmp_path / "figure5.html").read_text()
    assert check_page(html).tags["svg"] == 1
    assert all(word in html for word in words)
    named = load("table11")
    assert not page(named, "table11", scale_of(named), []).panels
