"""A table of the paper as data: what its rows and columns are, and what was published."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict

from stde_cli.config.composition import config_directory
from stde_cli.jobs.reproduction.cells import BENCH, SOLVE, Cell
from stde_cli.system.errors import UsageError

Figure: TypeAlias = Literal[
    "speed_it_per_s", "memory_mb", "rel_l2_error", "rel_l1_error_at_point", "parameters"
]
HEADINGS: Mapping[Figure, str] = {
    "speed_it_per_s": "steps a second",
    "memory_mb": "peak memory, MB",
    "rel_l2_error": "relative L2 error",
    "rel_l1_error_at_point": "relative error of the value at the point",
    "parameters": "parameters",
}
MEASURED: frozenset[Figure] = frozenset(("speed_it_per_s", "memory_mb"))
"""By `stde bench`; the others by `stde solve`."""


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Row(_Data):
    """A row: a method, or an equation."""

    name: str
    method: str
    """A variant of `stde bench`."""
    problem: tuple[str, ...] = ()
    """Overrides of every cell."""
    trained_as: tuple[str, ...] = ()
    """Overrides that choose the method in `stde solve`."""
    published: Mapping[str, str] = {}
    """Which of the published rows it is, beside what the table says."""
    figures: tuple[Figure, ...] | None = None
    """Those of the table, where it has fewer."""
    ours: bool = False
    """Whether it is this tool's own method: the others have no other recipe than the published."""


class Columns(_Data):
    """What the columns vary, and which of them there are at each scale."""

    key: str
    variants: Mapping[str, tuple[str, ...]] | None = None
    """Overrides of each column; None: `key` is set to the column's value."""
    smoke: tuple[int | str, ...]
    cpu: tuple[int | str, ...]
    paper: tuple[int | str, ...]

    def overrides(self, column: int | str) -> tuple[str, ...]:
        return (f"{self.key}={column}",) if self.variants is None else self.variants[str(column)]


class Recipe(_Data):
    """How a table is trained, where it is not as all tables are."""

    overrides: tuple[str, ...] = ()
    note: str = ""
    """What it rests on, below the table."""


class PaperTable(_Data):
    """A table of [STDE]."""

    title: str
    number: int
    """0 where it is no table of the paper's but a figure."""
    figures: tuple[Figure, ...]
    problem: tuple[str, ...]
    published: Mapping[str, str] = {}
    in_steps: Mapping[str, int] = {}
    """Steps of training at a scale, where they are not those of all tables."""
    in_size: Mapping[str, tuple[str, ...]] = {}
    """Overrides of every cell at a scale, where what was published is too large for it."""
    recipes: Mapping[str, Recipe] = {}
    """By the name of the recipe."""
    columns: Columns
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def figures_of(self, row: Row) -> tuple[Figure, ...]:
        return row.figures or self.figures

    def printed(self, row: Row, figure: Figure, column: int | str) -> "Published | None":
        """What the paper has there."""
        wanted = {"table": str(self.number), "metric": figure, **self.published, **row.published}
        if not row.published:
            return None
        for line in _published():
            place = line["note"] if self.columns.variants else line["dim"]
            is_there = _network(place) == column if self.columns.variants else place == str(column)
            if is_there and all(line[key] == value for key, value in wanted.items()):
                return Published(line["value"], line["std"])
        return None


@dataclass(frozen=True)
class Published:
    """A published figure, as it is printed: a number or OOM."""

    value: str
    std: str

    @property
    def number(self) -> float | None:
        try:
            return float(self.value)
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.value} ± {self.std}" if self.std else self.value


@dataclass(frozen=True)
class Scale:
    """How much of a table is filled, and how."""

    name: str
    recipe: str
    steps: int
    seeds: int
    cell_seconds: float | None
    columns: tuple[int | str, ...]
    rows: tuple[str, ...] | None = None
    """None: all."""
    bench: tuple[str, ...] = ()
    solve: tuple[str, ...] = ()
    recipe_overrides: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    """The user's own, of every cell."""


def load(name: str) -> PaperTable:
    """The table of that name: table1, ..., figure5.

    Raises:
        UsageError: there is none.
    """
    place = config_directory() / "reproduce" / f"{name}.yaml"
    if name not in names():
        raise UsageError("TABLE", name, "no such table", f"choose from {', '.join(names())}")
    return PaperTable.model_validate(yaml.safe_load(place.read_text()))


def names() -> list[str]:
    """All that can be filled, in the paper's order."""
    found = [file.stem for file in (config_directory() / "reproduce").glob("*.yaml")]
    return sorted(found, key=lambda name: (name.rstrip("0123456789") != "table", len(name), name))


def cells_of(table: PaperTable, scale: Scale) -> list[Cell]:
    """The table's cells: for each row and column one measurement, and a run for each seed.

    All that is measured comes first: what a run will take is known by then.
    """
    places = [(row, column) for row in rows_at(table, scale) for column in scale.columns]
    bench, solve = [], []
    for row, column in places:
        figures = frozenset(table.figures_of(row))
        common = [*table.problem, *_recipe(table, scale), *row.problem]
        common += [*table.columns.overrides(column), *table.in_size.get(scale.name, ())]
        where = {"row": row.name, "column": column}
        name = _slug(f"{row.name}-{column}")
        if figures & MEASURED:
            arguments = _last_of_each([*common, *scale.bench, *scale.overrides])
            command = (BENCH, f"bench.methods=[{row.method}]", *arguments)
            bench.append(Cell(f"{name}-bench", command, **where))
        if figures - MEASURED:
            for seed in range(scale.seeds):
                arguments = [*common, *row.trained_as, f"seed={seed}", f"steps={scale.steps}"]
                arguments += [*scale.solve, *scale.overrides]
                command = (SOLVE, *_last_of_each(arguments))
                solve.append(Cell(f"{name}-seed{seed}", command, **where))
    return [*bench, *solve]


def _recipe(table: PaperTable, scale: Scale) -> tuple[str, ...]:
    own = table.recipes.get(scale.recipe)
    return scale.recipe_overrides if own is None else own.overrides


def rows_at(table: PaperTable, scale: Scale) -> list[Row]:
    """The rows that are filled: methods of others have no recipe but the published."""
    possible = [row for row in table.rows if scale.recipe == "published" or row.ours]
    return [row for row in possible if scale.rows is None or row.name in scale.rows]


def _last_of_each(overrides: Sequence[str]) -> list[str]:
    """Without those that a later one of the same key replaces."""
    return list({override.partition("=")[0]: override for override in overrides}.values())


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in "_-." else "-" for c in name).replace("--", "-")


@cache
def _published() -> list[dict[str, str]]:
    text = (config_directory() / "reproduce" / "published.csv").read_text()
    return list(csv.DictReader(text.splitlines()))


def _network(note: str) -> str:
    """The size of network that a note of the published figures names: "network size h=256; ..."."""
    return note.removeprefix("network size ").partition(";")[0]
