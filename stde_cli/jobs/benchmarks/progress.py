"""What a person sees while a benchmark goes on: a table that fills; where none can be, lines."""

import time
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.text import Text

from stde_cli.jobs.benchmarks.cells import Cell
from stde_cli.jobs.benchmarks.matrix import Matrix
from stde_cli.jobs.benchmarks.status import MEASURED
from stde_cli.jobs.benchmarks.turns import Measuring, Row
from stde_cli.runs.reporting.benchmarks import benchmark_table, fitting, named, varying_in
from stde_cli.runs.reporting.tables import figure
from stde_cli.runs.tracking.screen import LiveView, duration
from stde_cli.system.errors import Interrupted
from stde_cli.system.interrupts import Interrupts

_LINES_BESIDE_ROWS = 8
"""Of a screen: head of the table, the lines below it, the command and the prompt."""


class Progress(LiveView):
    """Shows a matrix of cells while it is measured.

    Args:
        console: where a terminal is, the table is drawn anew as it fills; elsewhere a line a cell.
        interrupts: a signal in them ends the benchmark.
    """

    def __init__(self, matrix: Matrix, console: Console, interrupts: Interrupts):
        super().__init__(console)
        self._matrix, self._interrupts = matrix, interrupts
        self._turns = {cell: matrix.kind.turns(cell.config) for cell in matrix.left}
        self._taken = dict.fromkeys(self._turns, 0)
        self._varying = varying_in([cell.described() for cell in matrix.cells.values()])
        self._is_known = False
        self._began = time.monotonic()
        self._now = ""

    def watch(self, cell: Cell, child: Measuring) -> Callable[[], None]:
        """A turn begins.

        Raises:
            Interrupted: by the function that is returned, once there was a signal.
        """
        self._now = f"{named(cell.described(), self._varying)}: {child.doing}"
        if not self._is_live and not self._taken[cell]:
            self._console.print(self._now, markup=False)
        self._taken[cell] += 1
        return self._look

    def done(self, row: Row) -> None:
        """A cell has its row."""
        # What a cell takes is known from one that was measured.
        self._is_known = self._is_known or row["status"] == MEASURED
        if not self._is_live:
            heading, key = next(iter(self._matrix.kind.COLUMNS.items()))
            found = row["status"] if row.get(key) is None else f"{figure(row[key])} {heading}"
            line = f"{named(row, self._varying)}: {found}; {self._progress()}"
            self._console.print(line, markup=False)

    def _progress(self) -> str:
        done, count = len(self._matrix.rows), len(self._matrix.cells)
        taken = sum(self._taken.values())
        left = sum(max(1, self._turns[cell] - self._taken[cell]) for cell in self._matrix.left)
        text = f"{done} of {count} cells"
        if not self._is_known or not left:
            return text
        # As if the turns to come took as long as those before.
        seconds = (time.monotonic() - self._began) / taken * left
        return f"{text}, about {duration(seconds)} left"

    def _render(self) -> RenderableType:
        rows = self._matrix.rows
        last = rows[-max(1, self._console.height - _LINES_BESIDE_ROWS) :]
        table = benchmark_table(last, self._matrix.kind.COLUMNS)
        shown = [fitting(table, self._console)] if rows else []
        return Group(*shown, Text(self._now), Text(self._progress(), style="dim"))

    def _look(self) -> None:
        if signal := self._interrupts.received:
            done, count = len(self._matrix.rows), len(self._matrix.cells)
            mend = "the same command goes on with the others"
            if not self._matrix.is_kept:
                mend = "with bench.out=FILE the same command would go on"
            message = f"stopped by {signal.name} with {done} of {count} cells measured; {mend}"
            raise Interrupted(message, signal)
