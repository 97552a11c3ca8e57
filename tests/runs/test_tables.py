"""Tables for people: one table, five ways to show it."""

import csv
import io
from html.parser import HTMLParser

import pytest
from rich.console import Console

from stde_cli.runs.reporting.tables import (
    FORMATS,
    NONE,
    Column,
    Table,
    figure,
    mean_and_std,
    shown,
    written,
)

HOSTILE = 'a|b <script>x</script> \\ & 50% _x_ `c` $y$\n# z, "q"'
TABLE = Table(
    (Column("method", numeric=False), Column("error"), Column("steps/s")),
    (("stde", "1.23e-3 ± 4e-5", "1,230"), (HOSTILE, "2e-3", NONE)),
    title="Errors | all",
    notes=("3 seeds & no more.",),
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        (3, "3"),
        (1_000_000, "1,000,000"),
        (0.0, "0"),
        (1.234e-3, "1.23e-3"),
        (-2e-12, "-2e-12"),
        (0.01, "0.01"),
        (0.12345, "0.123"),
        (99.96, "100"),
        (123.4, "123"),
        (999.7, "1,000"),
        (12345.6, "12,346"),
        (1.5e8, "1.5e8"),
        (float("nan"), "not finite"),
    ],
)
def test_figures(value: float | None, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], "—"),
        ([1.234e-3], "1.23e-3"),
        ([1.19e-3, 1.23e-3, 1.27e-3], "1.23e-3 ± 4e-5"),
        ([10.0, 14.0], "12 ± 2.8"),
        ([0.0606, 0.08], "0.0703 ± 0.014"),
        ([0.1, 0.101], "0.101 ± 0.00071"),
        ([1.0, float("inf")], "not finite"),
    ],
)
def test_means(values: list[float], text: str) -> None:
    assert mean_and_std(values) == text


def test_markdown_escapes_what_would_be_markup() -> None:
    title, _, _, rule, first, hostile, _, note = written(TABLE, "markdown").splitlines()
    assert (title, note) == (r"**Errors \| all**", r"3 seeds \& no more.")
    assert rule.count("-:|") == 2
    assert first.split("|")[2].strip() == "1.23e-3 ± 4e-5"
    for sign in (r"a\|b", r"\<script\>", r"\\", r"\& 50%", r"\_x\_", r"\`c\`", r"\$y\$", r"\# z"):
        assert sign in hostile


def test_csv_is_for_programs() -> None:
    rows = list(csv.reader(io.StringIO(written(TABLE, "csv"))))
    assert rows == [
        ["method", "error", "error std", "steps/s"],
        ["stde", "1.23e-3", "4e-5", "1230"],
        [HOSTILE, "2e-3", "", ""],
    ]


def test_latex_escapes_what_would_be_commands() -> None:
    text = written(TABLE, "latex")
    assert r"\toprule" in text
    assert r"1.23e-3 \ensuremath{\pm} 4e-5 &" in text
    for sign in (r"\textbackslash{}", r"\& 50\%", r"\_x\_", r"\$y\$ \# z", "---", r"seeds \& no"):
        assert sign in text


def test_html_holds_the_cells_as_text() -> None:
    text = written(TABLE, "html")
    tags: list[str] = []
    reader = HTMLParser()
    reader.handle_starttag = lambda tag, attrs: tags.append(tag)
    reader.feed(text)
    assert set(tags) == {"table", "caption", "thead", "tbody", "tr", "th", "td", "p"}
    assert tags.count("td") == 6
    assert "3 seeds &amp; no more." in text


@pytest.mark.parametrize("format", FORMATS)
def test_a_table_may_be_empty(format: str) -> None:
    assert "error" in written(TABLE._replace(rows=(), title="", notes=()), format)


def test_the_screen_shows_cells_as_they_are() -> None:
    console = Console(width=200, record=True)
    with console.capture() as capture:
        console.print(shown(TABLE._replace(rows=(("[bold]x[/bold]", "1", "2"),))))
    assert "[bold]x[/bold]" in capture.get()
    assert "3 seeds & no more." in capture.get()
