"""A table whose columns are numbers, drawn from the rows of its results."""

from collections.abc import Mapping, Sequence
from typing import Any

from stde_cli.jobs.reproduction.tables import HEADINGS, PaperTable
from stde_cli.runs.reporting.panels import Kind, Panel, Series

Row = Mapping[str, Any]

_LABELS = {"estimator.batch": "sampled directions", "dim": "dimension"}
_KEYS: Mapping[Kind, str] = {
    "measured": "ours",
    "trivial": "trivial",
    "published": "published",
}


def panels_of(table: PaperTable, results: Sequence[Row]) -> list[Panel]:
    """A panel for each kind of figure; none where columns have names, or where there is one."""
    columns = {row["column"] for row in results}
    if table.columns.variants or len(columns) < 2:
        return []
    x_label = _LABELS.get(table.columns.key, table.columns.key)
    return [
        Panel(x_label, HEADINGS[each], _series([row for row in results if row["metric"] == each]))
        for each in table.figures
    ]


def _series(results: Sequence[Row]) -> list[Series]:
    """Ours, row by row of the table, and what the paper and a constant have beside it."""
    found = []
    for name in dict.fromkeys(row["row"] for row in results):
        rows = [row for row in results if row["row"] == name]
        columns = [row["column"] for row in rows]
        for kind, key in _KEYS.items():
            values = [row[key] if isinstance(row[key], int | float) else None for row in rows]
            if any(values):
                found.append(Series(name, columns, values, kind))
    return found
