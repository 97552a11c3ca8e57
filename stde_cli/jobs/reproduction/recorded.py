"""What the results of a directory speak of: its cells, and what became of each."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from stde_cli.config.composition import compose
from stde_cli.jobs.benchmarks.cells import AXES
from stde_cli.jobs.reproduction.cells import BENCH, DONE, Cell, Place, Result
from stde_cli.jobs.reproduction.directory import is_reproduction, read_results
from stde_cli.runs import results
from stde_cli.system.errors import StdeError

NOT_DONE = "not done"


class Recorded(NamedTuple):
    """A cell of whatever table, where it is now: its directory may have been moved."""

    place: Place
    result: Result | None

    @property
    def status(self) -> str:
        return self.result.status if self.result else NOT_DONE

    @property
    def overrides(self) -> Sequence[str]:
        return self.place.cell.command[1:]


def recorded(directory: Path) -> list[Recorded]:
    """The cells, each once, in the order of their tables; none where this is no reproduction."""
    if not is_reproduction(directory):
        return []
    found: dict[str, Recorded] = {}
    for row in read_results(directory):
        for command in row["commands"]:
            words = shlex.split(command)
            # The last two say where it is kept: .../cells/NAME/FILE.
            name = Path(words[-2].partition("=")[2]).parent.name
            cell = Cell(name, tuple(words[1:-2]), row["row"], row["column"])
            place = Place(cell, directory / "cells" / name)
            found.setdefault(name, Recorded(place, place.read()))
    return list(found.values())


def measurements(cells: Sequence[Recorded]) -> list[results.Row]:
    """The rows of `stde bench`, called as in their table; of what was not measured, why."""
    return [_measurement(each) for each in cells if each.place.cell.kind == BENCH]


def _measurement(each: Recorded) -> results.Row:
    cell = each.place.cell
    # Columns that are names are no dimensions.
    name = cell.row if isinstance(cell.column, int) else f"{cell.row}, {cell.column}"
    rows = results.read(each.place.bench, print)
    if each.status == DONE and rows:
        return rows[-1] | {"method": name}
    why = {"status": each.status, "note": each.result.reason if each.result else None}
    return {"method": name} | _described(each.overrides) | why


def _described(overrides: Sequence[str]) -> dict[str, Any]:
    """What a row says of its cell."""
    config: Any
    try:
        config = compose(BENCH, overrides)
    except StdeError:  # It failed by that.
        config = OmegaConf.create({})
    keys = AXES | {"points": "train.points", "pde": "choices.pde"}
    found = {name: OmegaConf.select(config, key) for name, key in keys.items()}
    return found | {"solution": config.get("choices", {}).get("pde/solution")}
