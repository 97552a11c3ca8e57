"""A table of the paper at work: what is asked for, filled, expected, shown."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from stde_cli.config.composition import compose
from stde_cli.config.validate import validate
from stde_cli.jobs.reproduction import expectation
from stde_cli.jobs.reproduction.cells import FAULTS, OOM, Place
from stde_cli.jobs.reproduction.directory import ReproductionDirectory
from stde_cli.jobs.reproduction.filling import Filling
from stde_cli.jobs.reproduction.page import Page, page
from stde_cli.jobs.reproduction.tables import PaperTable, Scale, cells_of
from stde_cli.jobs.reproduction.view import View
from stde_cli.runs import results
from stde_cli.runs.reporting.tables import Column, Table, figure, shown
from stde_cli.runs.tracking.screen import duration, screen
from stde_cli.system.errors import DoesNotFit, StdeError, UsageError
from stde_cli.system.interrupts import Interrupts
from stde_cli.system.resources import available_host_bytes


class Reproduction:
    """A table at a scale, in a directory.

    Raises:
        UsageError: the cells' own configuration is at fault.
    """

    def __init__(self, name: str, table: PaperTable, scale: Scale, path: Path):
        self.name, self.table, self.scale, self.path = name, table, scale, path
        self.cells = cells_of(table, scale)
        self._check()
        self.directory = ReproductionDirectory(path, {"scale": scale.name, "recipe": scale.recipe})

    @cached_property
    def places(self) -> list[Place]:
        return [cell.at(self.path) for cell in self.cells]

    @property
    def page(self) -> Page:
        """The table as it stands."""
        return page(self.table, self.name, self.scale, self.places)

    def empty(self) -> list[int]:
        """The numbers of the cells that are not filled for good."""
        results = [place.read() for place in self.places]
        limit = self.scale.cell_seconds
        return [k for k, r in enumerate(results) if r is None or not r.is_final(limit)]

    def raise_failures(self) -> None:
        """
        Raises:
            StdeError: cells failed.
        """
        found = [(place, place.read()) for place in self.places]
        failed = [(p, r) for p, r in found if r is not None and r.status in FAULTS]
        if failed:
            (place, result), *_ = failed
            cells = f"{len(failed)} of {len(found)} cells failed"
            first = f"{place.cell.row}, {place.cell.column}: {result.reason}"
            raise StdeError(f"{cells}, the first {first}; see {place.log}")

    def _check(self) -> None:
        """One cell of each kind stands for all: they differ by what the table's own data say."""
        for cell in {cell.kind: cell for cell in reversed(self.cells)}.values():
            try:
                validate(compose(cell.kind, cell.command[1:]))
            except UsageError as error:
                if self.scale.overrides:
                    value = f"[{','.join(self.scale.overrides)}]"
                    raise UsageError("reproduce.overrides", value, str(error)) from error
                raise


def fill(what: Reproduction, interrupts: Interrupts, *, only: int | None = None) -> None:
    """Fill the table, or the cell of one number.

    Raises:
        UsageError: there is no such cell, or this machine cannot hold the table.
        Interrupted: a signal came; the same command goes on.
    """
    if only is not None and not 0 <= only < len(what.cells):
        raise UsageError("reproduce.cell", only, f"the table has cells 0 to {len(what.cells) - 1}")
    _refuse_what_does_not_fit(what)
    cells = what.cells if only is None else [what.cells[only]]
    filling = Filling(what.places, cells, what.scale.cell_seconds, interrupts=interrupts)
    _write(what)
    view = View(what.table.title, cells, filling.done())
    try:
        with view:
            filling.fill(view.told)
    finally:
        _write(what)


def show(what: Reproduction) -> None:
    """Print the table as it stands, and where it is kept."""
    console = screen()
    for table in what.page.tables:
        console.print(shown(table))
    for path in _write(what):
        console.print(f"written  {path}", markup=False)


def _write(what: Reproduction) -> list[Path]:
    with what.directory.locked():
        return what.page.write(what.path, what.name)


def _refuse_what_does_not_fit(what: Reproduction) -> None:
    """A table whose own method does not fit this machine; that others run out is a figure.

    Held against the host's memory: a device is the cells' own, and what is not free there is found
    by each of them.
    """
    available = available_host_bytes()
    if available is None:
        return
    needed = _largest(what, what.scale.columns)
    if needed * 1e6 <= available:
        return
    why = f"its largest cell needs {needed / 1e3:.1f} GB, {available / 1e9:.1f} GB are free"
    mend = " or ".join(_what_fits(what, available))
    raise DoesNotFit("scale", what.scale.name, why, mend)


def _what_fits(what: Reproduction, available: int) -> Iterator[str]:
    """What would go into so many bytes, as it is typed."""
    columns = [c for c in what.scale.columns if _largest(what, [c]) * 1e6 <= available]
    if columns:
        yield f"set reproduce.columns=[{','.join(map(str, columns))}]"
    for name in ("paper", "cpu", "smoke"):
        if _largest(what, getattr(what.table.columns, name)) * 1e6 <= available:
            yield f"scale={name} fits"
            return


def _largest(what: Reproduction, columns: Sequence[int | str]) -> float:
    """MB that the largest cell of this tool's own rows needs."""
    scale = replace(what.scale, columns=tuple(columns))
    expected = expectation.Expectation(what.table, scale, 1.0)
    ours = {row.name for row in what.table.rows if row.ours}
    needs = [expected(cell).memory_mb for cell in cells_of(what.table, scale) if cell.row in ours]
    return max(needs, default=0.0)


def show_expected(what: Reproduction) -> None:
    """Print the cells with their commands, and the time and memory that each is expected to take.

    Raises:
        StdeError: the short measurement that this is calibrated by does not run.
    """
    # A directory that cannot be read is told before anything is measured.
    found = [(place.cell, place.read()) for place in what.places]
    expected = expectation.Expectation(what.table, what.scale, _calibrated())
    available = available_host_bytes()
    rows, seconds = [], 0.0
    for cell, done in found:
        each = expected(cell)
        fits = available is None or each.memory_mb * 1e6 <= available
        takes = each.seconds if fits else expectation.START_SECONDS
        seconds += 0 if done else takes
        state = done.status if done else duration(takes) if fits else OOM
        column = f"{cell.column:,}" if isinstance(cell.column, int) else cell.column
        rows.append((cell.name, column, state, figure(float(round(each.memory_mb)))))
    heads = (Column("cell", False), Column("column"), Column("time"), Column("memory, MB"))
    console = screen()
    console.print(shown(Table(heads, tuple(rows), what.table.title)))
    for place in what.places:
        console.print(str(place), markup=False)
    console.print(f"in all about {duration(seconds)}, within a factor of three", markup=False)


def _calibrated() -> float:
    """Multiplications that this machine makes in a second of training."""
    command = [sys.executable, "-P", "-m", "stde_cli", *expectation.REFERENCE]
    with screen().status("measuring this machine"), tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "bench.jsonl"
        command.append(f"bench.out={out}")
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        speeds = [row["steps_per_second"] for row in results.read(out, print)]
    if not speeds or not speeds[0]:
        why = (ran.stderr.strip().splitlines() or ["no figure"])[-1]
        raise StdeError(f"the measurement of this machine failed: {why}")
    return speeds[0] * expectation.multiplications("stde", expectation.reference_sizes())
