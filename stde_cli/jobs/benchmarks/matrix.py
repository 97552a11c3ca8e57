"""All cells of a benchmark: measured, but for those whose rows are in its file already."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, get_type_hints, runtime_checkable

from omegaconf import DictConfig

from stde_cli.config.targets import check_value
from stde_cli.jobs.benchmarks import seconds_to_error, speed
from stde_cli.jobs.benchmarks.cells import AXES, Cell, Group
from stde_cli.jobs.benchmarks.child import Child
from stde_cli.jobs.benchmarks.status import FAILED, REFUSED
from stde_cli.jobs.benchmarks.turns import Done, Measuring, Row, Start, measured
from stde_cli.runs import results
from stde_cli.system.errors import StdeError, UsageError


def kind_of(config: DictConfig) -> Any:
    """The module that measures: `measure`, its `Figures`, `COLUMNS`, `turns`, `speed_of`."""
    return speed if config.bench.until is None else seconds_to_error


def start(cell: Cell, taken_bytes: int) -> Measuring:
    """A process that measures the cell."""
    return Child(kind_of(cell.config).measure, cell.config, taken_bytes=taken_bytes)


@runtime_checkable
class Watching(Protocol):
    """`progress.Progress`, or what stands for it."""

    def watch(self, cell: Cell, child: Measuring) -> Callable[[], None]: ...

    def done(self, row: Row) -> None: ...


class Matrix:
    """Cells and their rows.

    Args:
        config: its `bench` says which file rows are kept in, and what ratios are against. Rows of
            other cells in the file are passed over.
        say: told of damaged lines in the file.

    Raises:
        UsageError: the file is none of results, or cannot be read.
    """

    def __init__(self, config: DictConfig, groups: Sequence[Group], say: Callable[[str], None]):
        self.kind = kind_of(config)
        self.cells = {cell.digest: cell for group in groups for cell in group}
        self._groups, self._bench = groups, config.bench
        self._reference = config.bench.reference or config.bench.methods[-1]
        self._out = Path(config.bench.out) if config.bench.out else None
        self._found: dict[str, Row] = {}
        self._held: list[Done] = []
        self._read(say)

    def _read(self, say: Callable[[str], None]) -> None:
        if self._out is None:
            return
        try:
            earlier = results.read(self._out, say, self._is_whole)
        except OSError as error:
            why = f"cannot be read ({error.strerror})"
            raise UsageError("bench.out", self._out, why) from error
        if strangers := [row for row in earlier if not isinstance(row.get("cell"), str)]:
            keys = ", ".join(list(strangers[0])[:3])
            why = f"holds other rows than those of stde bench, of {keys}"
            raise UsageError("bench.out", self._out, why, "choose another file")
        # The newest of a cell counts.
        newest = {row["cell"]: row for row in earlier if row["cell"] in self.cells}
        again = self._bench.retry
        self._found = {k: row for k, row in newest.items() if row.get("status") not in again}

    def _is_whole(self, row: Row) -> bool:
        """Whether a row of one of these cells says what it is of, and has figures where they are.

        Rows of other cells are left as they are.
        """
        cell = row.get("cell")
        if not isinstance(cell, str) or cell not in self.cells:
            return True
        known = self.cells[cell].described()
        try:
            for name, hint in get_type_hints(self.kind.Figures).items():
                check_value(row.get(name), hint, name)
        except UsageError:
            return False
        return isinstance(row.get("status"), str) and known.items() <= row.items()

    @property
    def rows(self) -> list[Row]:
        """What has been found, in the order of the cells, each with its ratio."""
        found = [self._found[digest] for digest in self.cells if digest in self._found]
        return [row | {"ratio": self._ratio(row, found)} for row in found]

    @property
    def left(self) -> list[Cell]:
        """Cells without a row."""
        return [cell for digest, cell in self.cells.items() if digest not in self._found]

    @property
    def is_kept(self) -> bool:
        """Whether rows are in a file, from which the same command goes on."""
        return self._out is not None

    def run(self, watching: Watching, start: Start = start) -> None:
        """Measure what is left.

        Raises:
            UsageError: all cells are refused, or the file cannot be written.
        """
        for group in self._groups:
            waiting = [cell for cell in group if cell.digest not in self._found]
            for done in measured(waiting, start, watching.watch, self._bench.cell_seconds):
                self._add(done)
                watching.done(done.row)
        if self._held and self._held[0].refusal:
            raise self._held[0].refusal

    def raise_failures(self) -> None:
        """What did not fit, took too long or cannot be is no failure.

        Raises:
            StdeError: cells failed.
        """
        rows = self.rows
        failed = [row for row in rows if row["status"] == FAILED]
        if failed:
            cells = f"{len(failed)} of {len(rows)} cells failed"
            first = f"{failed[0]['method']}, dim {failed[0]['dim']}: {failed[0]['note']}"
            raise StdeError(f"{cells}, the first {first}")

    def _add(self, done: Done) -> None:
        """Rows of refused cells wait for another: a command that is refused writes nothing."""
        # A row has all keys, whatever became of its cell: what it has itself stands first.
        done = done._replace(row=done.row | self.kind.Figures()._asdict() | done.row)
        self._found[done.row["cell"]] = done.row
        self._held.append(done)
        if any(row["status"] != REFUSED for row in self._found.values()):
            for each in self._held:
                self._keep(each.row)
            self._held.clear()

    def _keep(self, row: Row) -> None:
        if self._out is None:
            return
        try:
            results.append(self._out, row)
        except OSError as error:
            why = f"cannot be written ({error.strerror})"
            raise UsageError("bench.out", self._out, why) from error

    def _ratio(self, row: Row, rows: Sequence[Row]) -> float | None:
        own = self.kind.speed_of(row)
        for other in rows:
            if other["method"] == self._reference and _at_one_setting(row, other):
                against = self.kind.speed_of(other)
                return own / against if own and against else None
        return None


def _at_one_setting(row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """A method without a number of directions stands beside every number of them."""
    pairs = ((row[axis], other[axis]) for axis in AXES)
    return all(here == there or None in (here, there) for here, there in pairs)
