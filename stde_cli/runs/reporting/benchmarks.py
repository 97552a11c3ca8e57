"""The rows of a benchmark as a table, and as the panels of a plot."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable

from stde_cli.runs.reporting.panels import Panel, Series
from stde_cli.runs.reporting.tables import Column, Table, figure, shown

Row = Mapping[str, Any]

AXES = ("dim", "batch", "width")
"""What may vary along the rows."""


def benchmark_table(rows: Sequence[Row], columns: Mapping[str, str]) -> Table:
    """A row a cell; what is the same in all of them stands above, what there is to say below.

    Args:
        columns: the keys of figures by their headings. Where a cell has none, its status stands
            in the first of them.
    """
    varying = varying_in(rows)
    figures = list(columns.values())
    return Table(
        columns=(
            Column("method", numeric=False),
            *map(Column, varying),
            *map(Column, columns),
        ),
        rows=tuple(
            (row["method"], *(figure(row.get(axis)) for axis in varying), *_figures(row, figures))
            for row in rows
        ),
        title=_title(rows, varying),
        notes=tuple(f"{named(row, varying)}: {row['note']}" for row in rows if row.get("note")),
    )


def varying_in(rows: Sequence[Row]) -> list[str]:
    """The axes along which the rows differ."""
    return [axis for axis in AXES if len({row.get(axis) for row in rows}) > 1]


def named(row: Row, varying: Sequence[str]) -> str:
    """The method, and where along what varies: "stde, dim 100"."""
    places = [f"{axis} {row[axis]:,}" for axis in varying if row.get(axis) is not None]
    return ", ".join([row["method"], *places])


def _figures(row: Row, keys: Sequence[str]) -> list[str]:
    found = [figure(row.get(key)) for key in keys]
    return found if row.get("status", "measured") == "measured" else [row["status"], *found[1:]]


def _title(rows: Sequence[Row], varying: Sequence[str]) -> str:
    if not rows:
        return ""
    first = rows[0]
    parts = [", ".join(filter(None, (first.get("pde"), first.get("solution"))))]
    if "dim" not in varying:
        parts.append(f"dim {first['dim']:,}")
    if "batch" not in varying and first.get("batch") is not None:
        parts.append(f"{first['batch']:,} directions")
    if "width" not in varying and first.get("width") is not None:
        parts.append(f"width {first['width']:,}")
    return ", ".join((*parts, f"{first['points']:,} points a step"))


def panels_of(rows: Sequence[Row]) -> list[Panel]:
    """What was measured against the dimension, by what it is called where that alone varies.

    Of memory that of the step's own arrays and that of all its process held: methods are compared
    by the first, a machine must have the second.
    """
    varying = [axis for axis in varying_in(rows) if axis != "dim"]
    curves: dict[str, list[Row]] = {}
    for row in rows:
        if row.get("status") == "measured":
            curves.setdefault(named(row, varying), []).append(row)
    ordered = {name: sorted(those, key=lambda row: row["dim"]) for name, those in curves.items()}
    return [
        Panel(
            "dimension",
            label,
            [
                Series(name, [row["dim"] for row in those], [row.get(key) for row in those])
                for name, those in ordered.items()
            ],
        )
        for key, label in _PLOTTED.items()
    ]


_PLOTTED = {
    "steps_per_second": "steps a second",
    "temp_memory_mb": "temporary memory, MB",
    "peak_memory_mb": "peak memory, MB",
}


def fitting(table: Table, console: Console) -> RichTable:
    """The table alone, without the last of its columns where a terminal is too narrow for them.

    What is wider than a file's or a pipe's lines runs on.
    """
    found = shown(table._replace(title="", notes=()))
    if not console.file.isatty():
        console.width = _WIDEST
        return found
    while len(table.columns) > _FEWEST_COLUMNS and _width(found, console) > console.width:
        table = Table(table.columns[:-1], tuple(row[:-1] for row in table.rows))
        found = shown(table)
    return found


_FEWEST_COLUMNS = 2
_WIDEST = 10_000


def _width(table: RichTable, console: Console) -> int:
    options = console.options.update(width=_WIDEST)
    return Measurement.get(console, options, table).maximum
