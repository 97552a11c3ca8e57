"""What a person sees while a table fills: the table itself, and what is being run now."""

import time

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.text import Text

from stde_cli.jobs.reproduction.cells import DONE, Cell, Result
from stde_cli.runs.reporting.tables import Column, Table, figure, shown
from stde_cli.runs.tracking.screen import LiveView, duration, screen

_SHOWN = {
    "speed_it_per_s": "{} steps/s",
    "memory_mb": "{} MB",
    "rel_l2_error": "error {}",
    "rel_l1_error_at_point": "error at the point {}",
}


class View(LiveView):
    """A live table on a terminal, a line for each cell elsewhere."""

    def __init__(self, title: str, cells: list[Cell], done: dict[str, Result]):
        super().__init__(screen())
        self._title, self._cells, self._results = title, cells, dict(done)
        self._current: Cell | None = None
        self._begun = 0.0
        self._seconds: dict[str, list[float]] = {}

    def told(self, cell: Cell, result: Result | None) -> None:
        """A cell has begun, or has ended with a result."""
        now = time.monotonic()
        if result is None:
            self._current, self._begun = cell, now
            return
        self._current = None
        self._results[cell.name] = result
        self._seconds.setdefault(cell.kind, []).append(now - self._begun)
        if not self._is_live:
            left = f", {duration(s)} left" if (s := self._seconds_left()) else ""
            place = f"[{len(self._results)}/{len(self._cells)}{left}]"
            told = f"{place} {cell.row}, {cell.column}: {_told(result)}"
            self._console.print(told, markup=False)

    def _seconds_left(self) -> float:
        """By what cells of the same kind took."""
        known = [s for seconds in self._seconds.values() for s in seconds]
        if not known:
            return 0
        left = [cell for cell in self._cells if cell.name not in self._results]
        means = {kind: sum(s) / len(s) for kind, s in self._seconds.items()}
        return sum(means.get(cell.kind, sum(known) / len(known)) for cell in left)

    def _render(self) -> Group:
        done, total = len(self._results), len(self._cells)
        parts = [f"{done} of {total} cells"]
        if self._current:
            elapsed = time.monotonic() - self._begun
            parts.append(f"{self._current.row}, {self._current.column}: {elapsed:.0f} s")
        if seconds := self._seconds_left():
            parts.append(f"about {duration(seconds)} left")
        bar = ProgressBar(total=total, completed=done, width=40)
        return Group(Text(self._title, style="bold"), bar, Text("  ·  ".join(parts)), self._table())

    def _table(self):
        """The cells of the kind that is being filled."""
        kind = self._current.kind if self._current else self._cells[-1].kind
        cells = [cell for cell in self._cells if cell.kind == kind]
        columns = list(dict.fromkeys(cell.column for cell in cells))
        rows = []
        for name in dict.fromkeys(cell.row for cell in cells):
            texts = []
            for column in columns:
                there = [c for c in cells if (c.row, c.column) == (name, column)]
                texts.append(" ".join(self._short(cell) for cell in there))
            rows.append((name, *texts))
        headings = [Column(f"{c:,}" if isinstance(c, int) else c) for c in columns]
        return shown(Table((Column("", numeric=False), *headings), tuple(rows)))

    def _short(self, cell: Cell) -> str:
        if cell is self._current:
            return "…"
        result = self._results.get(cell.name)
        if result is None:
            return "·"
        if result.status != DONE:
            return result.status
        return figure(next(iter((result.figures or {}).values()), None))


def _told(result: Result) -> str:
    if result.status != DONE:
        return f"{result.status}: {result.reason}"
    figures = (result.figures or {}).items()
    return ", ".join(_SHOWN[key].format(figure(value)) for key, value in figures if key in _SHOWN)
