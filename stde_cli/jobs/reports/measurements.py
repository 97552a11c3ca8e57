"""What the cells of reproductions measured, as tables and panels: a problem each."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from stde_cli.jobs.benchmarks.speed import COLUMNS
from stde_cli.jobs.reproduction.recorded import Recorded, measurements, recorded
from stde_cli.runs.reporting.benchmarks import benchmark_table, panels_of
from stde_cli.runs.reporting.panels import Panel
from stde_cli.runs.reporting.tables import Table
from stde_cli.runs.results import Row

_COLUMNS = {heading: key for heading, key in COLUMNS.items() if key != "ratio"}


class Measurements(NamedTuple):
    """Of one problem."""

    rows: list[Row]

    @property
    def table(self) -> Table:
        return benchmark_table(self.rows, _COLUMNS)

    @property
    def panels(self) -> list[Panel]:
        """Against the dimension; none where it is one."""
        dims = {row["dim"] for row in self.rows if row["status"] == "measured"}
        return panels_of(self.rows) if len(dims) > 1 else []


def cells(place: Path) -> Iterator[Recorded]:
    """Those of the reproductions in and below a directory."""
    for directory, below, _ in os.walk(place):
        if found := recorded(Path(directory)):
            below.clear()
            yield from found


def gather(places: Sequence[Path]) -> list[Measurements]:
    found: dict[object, list[Row]] = defaultdict(list)
    for row in measurements([cell for place in places for cell in cells(place)]):
        found[row.get("pde"), row.get("solution")].append(row)
    return [Measurements(rows) for rows in found.values()]
