"""Tables for people: the same rows for the screen, Markdown, CSV, LaTeX and HTML."""

import csv
import html
import io
import math
import re
from collections.abc import Callable, Sequence
from itertools import chain
from statistics import mean, stdev
from typing import NamedTuple

import tabulate
from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable
from rich.text import Text

_HARD_SPACE = "\xa0"
NONE = "—"
"""What stands where there is no figure."""
BETWEEN = " ± "
"""What stands between a mean and its deviation."""


class Column(NamedTuple):
    """A numeric column is flush right."""

    heading: str
    numeric: bool = True


class Table(NamedTuple):
    """Cells are text as a person reads it: `written` and `shown` escape what a format needs.

    Attributes:
        notes: sentences that belong below the table.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    notes: tuple[str, ...] = ()


FORMATS = ("markdown", "csv", "latex", "html")


def written(table: Table, format: str) -> str:
    """The text of a table in one of FORMATS; title above it, notes below it.

    CSV is for programs: it has neither title nor notes, thousands are not separated, nothing
    stands for no figure, and a column of means and deviations becomes two columns.

    Raises:
        KeyError: there is no such format.
    """
    return {"markdown": _markdown, "csv": _csv, "latex": _latex, "html": _html}[format](table)


def shown(table: Table) -> RichTable:
    """The table for the screen."""
    notes = Text("\n".join(table.notes)) if table.notes else None
    title = Text(table.title, style="bold") if table.title else None
    found = RichTable(
        box=SIMPLE_HEAD, pad_edge=False, title=title, caption=notes, title_justify="left"
    )
    found.caption_justify = "left"
    for column in table.columns:
        side = "right" if column.numeric else "left"
        found.add_column(Text(column.heading), justify=side, no_wrap=True)
    for row in table.rows:
        found.add_row(*map(Text, row))
    return found


def figure(value: float | int | None) -> str:
    """A number in three digits, 1.23e-3; whole numbers in all their digits; "—" for none."""
    if value is None:
        return NONE
    if isinstance(value, int):
        return f"{value:,}"
    return _rounded(value, 3)


def mean_and_std(values: Sequence[float]) -> str:
    """As "1.23e-3 ± 4e-5", with the standard deviation of the sample; of one value no deviation."""
    if not values:
        return NONE
    if not all(map(math.isfinite, values)):
        return "not finite"
    centre = _rounded(mean(values), 3)
    if len(values) == 1:
        return centre
    deviation = stdev(values)
    # Written as the mean is: 0.0703 ± 0.0097.
    plain = "e" not in centre and 1e-4 <= deviation < 1e-2
    return centre + BETWEEN + (f"{deviation:.2g}" if plain else _rounded(deviation, 2))


def _rounded(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return "not finite"
    value = float(f"{value:.{digits - 1}e}") if abs(value) < 1e3 else value
    if 1e3 <= abs(value) < 1e7:
        return f"{value:,.0f}"
    if value == 0 or 1e-2 <= abs(value) < 1e3:
        return f"{value:.{digits}g}" if abs(value) < 100 else f"{value:.0f}"
    significand, exponent = f"{value:.{digits - 1}e}".split("e")
    if "." in significand:
        significand = significand.rstrip("0").rstrip(".")
    return f"{significand}e{int(exponent)}"


def _markdown(table: Table) -> str:
    above = f"**{_in_markdown(table.title)}**\n\n" if table.title else ""
    below = "".join(f"\n{_in_markdown(note)}\n" for note in table.notes)
    return above + _tabulated(table, "pipe", _in_markdown) + "\n" + below


def _latex(table: Table) -> str:
    """With the package booktabs."""
    above = f"\\caption{{{_in_latex(table.title)}}}\n" if table.title else ""
    below = "".join(f"\\par\\footnotesize {_in_latex(note)}\n" for note in table.notes)
    # The library escapes what it knows, the signs of figures it does not.
    cells = _signs_in_latex(_tabulated(table, "latex_booktabs"))
    return f"\\begin{{table}}\n\\centering\n{above}{cells}\n{below}\\end{{table}}\n"


def _html(table: Table) -> str:
    title = f"\n<caption>{html.escape(table.title)}</caption>" if table.title else ""
    cells = _tabulated(table, "html").replace("<table>", f"<table>{title}", 1)
    below = "".join(f'<p class="note">{html.escape(note)}</p>\n' for note in table.notes)
    return f"{cells}\n{below}"


def _csv(table: Table) -> str:
    columns = [
        _csv_column(column, [row[k] for row in table.rows])
        for k, column in enumerate(table.columns)
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(zip(*chain(*columns), strict=True))
    return text.getvalue()


def _csv_column(column: Column, cells: Sequence[str]) -> list[list[str]]:
    """A column or two, each with its heading above its cells."""
    heading = column.heading
    if not column.numeric:
        return [[heading, *("" if cell == NONE else cell for cell in cells)]]
    parts = [cell.partition(BETWEEN) for cell in cells]
    means = [heading, *(_for_programs(value) for value, _, _ in parts)]
    deviations = [f"{heading} std", *(_for_programs(value) for _, _, value in parts)]
    return [means, deviations] if any(sign for _, sign, _ in parts) else [means]


def _for_programs(cell: str) -> str:
    return "" if cell == NONE else re.sub(r"(?<=\d),(?=\d{3})", "", cell)


def _tabulated(table: Table, style: str, escape: Callable[[str], str] = str) -> str:
    """By the library, which is to take no cell for a number."""
    return tabulate.tabulate(
        [[escape(_line(cell)) for cell in row] for row in table.rows],
        headers=[escape(_line(column.heading)) for column in table.columns],
        tablefmt=style,
        colalign=["right" if column.numeric else "left" for column in table.columns],
        disable_numparse=True,
        preserve_whitespace=True,
    )


def _line(text: str) -> str:
    """In a line, indented as it was."""
    indent = len(text) - len(text.lstrip())
    return _HARD_SPACE * indent + " ".join(text.split())


def _in_markdown(text: str) -> str:
    """What Markdown would read as markup, a backslash before it; x_1 it reads as it is."""
    return re.sub(
        r"[\\`*|<>&\[\]~#$]|(?<![^\W_])_|_(?![^\W_])|^[-+=](?=\s)",
        lambda sign: "\\" + sign[0],
        _line(text),
    )


def _in_latex(text: str) -> str:
    escaped = "".join(tabulate.LATEX_ESCAPE_RULES.get(sign, sign) for sign in _line(text))
    return _signs_in_latex(escaped)


def _signs_in_latex(text: str) -> str:
    for sign, command in {"±": r"\pm", "×": r"\times", "≥": r"\ge", "≤": r"\le"}.items():
        text = text.replace(sign, rf"\ensuremath{{{command}}}")
    return text.replace(NONE, "---")
