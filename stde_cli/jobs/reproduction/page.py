"""What was found beside what was published: rows for programs, tables for people."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from stde_cli import __version__
from stde_cli.jobs.reproduction.cells import DONE, OOM, SOLVE, Place, Result
from stde_cli.jobs.reproduction.directory import read_results, write_results
from stde_cli.jobs.reproduction.drawing import panels_of
from stde_cli.jobs.reproduction.tables import (
    HEADINGS,
    MEASURED,
    Figure,
    PaperTable,
    Published,
    Row,
    Scale,
    rows_at,
)
from stde_cli.runs.reporting.pages import Picture, Section
from stde_cli.runs.reporting.pages import page as web_page
from stde_cli.runs.reporting.panels import Panel, are_empty
from stde_cli.runs.reporting.tables import (
    NONE,
    Column,
    Table,
    figure,
    mean_and_std,
    written,
)
from stde_cli.system.files import write_atomically

_TRIVIAL = "trivial_rel_l2_error"


class Entry(NamedTuple):
    """One figure of the table: what was found, over its seeds, and what was published."""

    values: tuple[float, ...]
    trivial: tuple[float, ...]
    published: Published | None
    status: str
    """done; else why there is no figure; empty where nothing has been tried yet."""
    reason: str

    @property
    def ours(self) -> str:
        if self.values:
            return mean_and_std(self.values)
        return self.status

    @property
    def ratio(self) -> float | None:
        """Ours over the published."""
        printed = self.published.number if self.published else None
        return mean(self.values) / printed if self.values and printed else None


class Page(NamedTuple):
    """A table as it stands."""

    title: str
    tables: tuple[Table, ...]
    """One for each kind of figure; what concerns all of them is below the last."""
    panels: tuple[Panel, ...]
    """The same as a picture."""
    results: list[dict[str, Any]]
    """A row for each figure."""

    def write(self, directory: Path, name: str) -> list[Path]:
        """The tables in all formats, with their picture, and results.json.

        That holds the rows of other tables too.
        """
        others = [row for row in read_results(directory) if row.get("table") != name]
        found = [write_results(directory, [*others, *self.results])]
        texts = {
            suffix: "\n".join(written(table, format) for table in self.tables)
            for suffix, format in {"md": "markdown", "csv": "csv", "tex": "latex"}.items()
        }
        for suffix, text in (texts | {"html": self._html(name)}).items():
            found.append(directory / f"{name}.{suffix}")
            write_atomically(found[-1], text)
        if not are_empty(self.panels):
            from stde_cli.runs.reporting.plots import plot_log_log

            found.append(directory / f"{name}.svg")
            plot_log_log(self.panels, "reproduce.dir", found[-1])
        return found

    def _html(self, name: str) -> str:
        # A page's title stands above all of its tables.
        sections = [
            Section(table.title.removeprefix(f"{self.title}: ").capitalize(), tables=[untitled])
            for table in self.tables
            for untitled in [table._replace(title="")]
        ]
        if not are_empty(self.panels):
            from stde_cli.runs.reporting.pictures import log_log

            picture = Picture(log_log(self.panels, name), f"{self.title}.")
            sections.append(Section("Picture", pictures=[picture]))
        return web_page(self.title, sections, f"stde {__version__}")


def page(table: PaperTable, name: str, scale: Scale, places: Sequence[Place]) -> Page:
    """The table with all that its cells have found so far."""
    results = [(place, place.read()) for place in places]
    found: list[dict[str, Any]] = []
    tables: list[Table] = []
    title = _title(table, name)
    for each in table.figures:
        lines: list[tuple[str, ...]] = []
        for row in rows_at(table, scale):
            if each not in table.figures_of(row):
                continue
            entries = {c: _entry(table, row, each, c, results) for c in scale.columns}
            lines += _lines(row, list(entries.values()))
            found += [
                _result(name, row, each, column, entry, places) for column, entry in entries.items()
            ]
        columns = (Column("", numeric=False), *(Column(_heading(table, c)) for c in scale.columns))
        tables.append(Table(columns, tuple(lines), f"{title}: {HEADINGS[each]}"))
    tables[-1] = tables[-1]._replace(notes=tuple(_notes(table, scale, results)))
    return Page(title, tuple(tables), tuple(panels_of(table, found)), found)


def _title(table: PaperTable, name: str) -> str:
    what = f"Table {table.number}" if table.number else name.replace("figure", "Figure ")
    return f"{what}. {table.title}"


def _heading(table: PaperTable, column: int | str) -> str:
    if table.columns.key == "dim":
        return f"{column:,} D"
    return f"{column:,}" if isinstance(column, int) else column


def _entry(
    table: PaperTable,
    row: Row,
    each: Figure,
    column: int | str,
    results: Sequence[tuple[Place, Result | None]],
) -> Entry:
    there = [
        result
        for place, result in results
        if (place.cell.row, place.cell.column) == (row.name, column)
        and (place.cell.kind == SOLVE) != (each in MEASURED)
        and result is not None
    ]
    figures = [result.figures or {} for result in there if result.status == DONE]
    values = tuple(f[each] for f in figures if each in f)
    # The baseline is the error of a constant: it stands where an error is shown.
    trivial = tuple(f[_TRIVIAL] for f in figures if _TRIVIAL in f and each == "rel_l2_error")
    failed = [result for result in there if result.status != DONE]
    status, reason = (failed[0].status, failed[0].reason) if failed else ("", "")
    published = table.printed(row, each, column)
    return Entry(values, trivial, published, DONE if values else status, reason)


def _lines(row: Row, entries: list[Entry]) -> Iterator[tuple[str, ...]]:
    yield (row.name, *(entry.ours or NONE for entry in entries))
    if any(entry.published for entry in entries):
        yield ("  published", *(str(entry.published or NONE) for entry in entries))
    if any(entry.ratio for entry in entries):
        yield ("  ratio", *(figure(entry.ratio) for entry in entries))
    if any(entry.trivial for entry in entries):
        trivial = (mean(e.trivial) if e.trivial else None for e in entries)
        yield ("  trivial baseline", *map(figure, trivial))


def _result(
    name: str, row: Row, each: Figure, column: int | str, entry: Entry, places: Sequence[Place]
) -> dict[str, Any]:
    commands = [
        str(place)
        for place in places
        if (place.cell.row, place.cell.column) == (row.name, column)
        and (place.cell.kind == SOLVE) != (each in MEASURED)
    ]
    return {
        "table": name,
        "row": row.name,
        "method": row.method,
        "dim": column if isinstance(column, int) else None,
        "column": column,
        "metric": each,
        "published": entry.published.number or entry.published.value if entry.published else None,
        "published_std": entry.published.std or None if entry.published else None,
        "ours": mean(entry.values) if entry.values else None,
        "std": stdev(entry.values) if len(entry.values) > 1 else None,
        "ratio": entry.ratio,
        "trivial": mean(entry.trivial) if entry.trivial else None,
        "status": entry.status or "not done",
        "reason": entry.reason,
        "commands": commands,
    }


def _notes(
    table: PaperTable, scale: Scale, results: Sequence[tuple[Place, Result | None]]
) -> Iterator[str]:
    """What differs from what was published, what was not done and why, and what to know."""
    devices = sorted({result.device for _, result in results if result and result.device})
    yield f"Device: {', '.join(devices) or 'none yet'} (published: one A100 of 40 GB)."
    if set(table.figures) - MEASURED:
        seeds = "one seed" if scale.seeds == 1 else f"{scale.seeds} seeds"
        steps = f"{table.in_steps.get('paper', 10_000):,}"
        yield f"Training: {scale.steps:,} steps, {seeds} (published: {steps} steps, 5 seeds)."
    size = table.in_size.get(scale.name)
    if size:
        published = [o for o in table.problem if _key(o) in map(_key, size)]
        yield f"Size: {' '.join(size)} (published: {' '.join(published)})."
    absent = [c for c in table.columns.paper if c not in scale.columns]
    if absent:
        headings = ", ".join(_heading(table, column) for column in absent)
        yield f"Left out of the paper's columns: {headings}."
    own = table.recipes.get(scale.recipe)
    if own is not None:
        if own.note:
            yield own.note
    elif scale.recipe == "accurate":
        yield (
            "recipe=accurate: the rows of this tool alone, with a guess by least squares, whose "
            "polynomials know which coordinates are neighbours: that is knowledge of the benchmark."
        )
    for place, result in results:
        if result and result.status not in (DONE, OOM):
            cell = f"{place.cell.row}, {place.cell.column}"
            yield f"{cell}: {result.status}: {result.reason}."
    yield from table.notes


def _key(override: str) -> str:
    return override.partition("=")[0]
