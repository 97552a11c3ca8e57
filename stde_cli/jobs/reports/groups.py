"""Runs of one configuration but for the seed, and their figures as a table."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from stde_cli.config import kept, sweeps
from stde_cli.config.composition import compose
from stde_cli.jobs.reports.measurements import cells
from stde_cli.jobs.reproduction.cells import SOLVE
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.listing import Listed, list_runs
from stde_cli.runs.reporting.tables import NONE, Column, Table, figure, mean_and_std
from stde_cli.runs.summary import FINISHED
from stde_cli.runs.sweep import RECORD
from stde_cli.system.errors import StdeError, UsageError

MISSING = "missing"
"""The status of a job of a sweep that left no run."""
_NOT_OF_A_GROUP = ("seed", "choices.tracker")


@dataclass
class Group:
    """Runs of one configuration and status that differ in their seeds.

    Attributes:
        settings: of the configuration, by dotted keys, without the seed; empty where it is unknown.
        runs: the newest of each seed.
        difference: what tells it from the groups that are called the same.
    """

    status: str
    settings: Mapping[str, Any]
    runs: list[Listed]
    difference: str = ""

    @property
    def problem(self) -> tuple[str, str, int]:
        """PDE, solution and dim, by which groups are compared."""
        run = self.runs[0]
        return run.pde or NONE, run.solution or "", run.dim or 0

    @property
    def method(self) -> str:
        return self.settings.get("choices.estimator", NONE)

    @property
    def name(self) -> str:
        """The method, and what tells it from others of the same problem."""
        return ", ".join(filter(None, (self.method, self.difference)))

    def mean(self, figure: Callable[[Listed], float | None]) -> float | None:
        found = self.values(figure)
        return mean(found) if found else None

    def values(self, figure: Callable[[Listed], float | None]) -> list[float]:
        """What is known of a figure, of each run."""
        return [value for value in map(figure, self.runs) if value is not None]


def gather(places: Sequence[Path]) -> list[Group]:
    """The runs in and below the places, and what was to be one and left none, in groups.

    Raises:
        UsageError: a place is no directory, or there is neither run nor reproduction in it.
    """
    found: dict[str, Listed] = {}
    for place in places:
        if not place.is_dir():
            raise UsageError("RUN", place, "no such directory", "runs are kept under runs/")
        here = [*list_runs([place]), *_missing(place)]
        if not here and not any(cells(place)):
            raise UsageError("RUN", place, "no runs in this directory", "see: stde runs")
        found |= {os.path.realpath(run.run_dir): run for run in here}
    groups: dict[Any, Group] = {}
    for run in sorted(found.values(), key=lambda run: run.age_seconds):
        settings = _settings(run)
        group = {key: v for key, v in settings.items() if key not in _NOT_OF_A_GROUP}
        # Of a run that cannot be read nothing says that it is like another.
        key = (run.status, repr(sorted(group.items())) if group else run.run_dir)
        of_group = groups.setdefault(key, Group(run.status, group, []))
        if run.seed is None or run.seed not in [other.seed for other in of_group.runs]:
            of_group.runs.append(run)
    ordered = sorted(groups.values(), key=lambda g: (g.problem, g.method, g.status != FINISHED))
    _tell_apart(ordered)
    return ordered


class _NotBegun(Listed):
    """A job or a cell that left no run, with the settings that it would have had."""

    settings: Mapping[str, Any]


def is_begun(run: Listed) -> bool:
    """Whether it left anything."""
    return not isinstance(run, _NotBegun)


def _settings(run: Listed) -> Mapping[str, Any]:
    if isinstance(run, _NotBegun):
        return run.settings
    try:
        return kept.settings_of(RunDirectory(Path(run.run_dir)))
    except UsageError:
        return {}


def _missing(place: Path) -> Iterator[Listed]:
    """What left no run: jobs of the sweeps in and below a directory, cells of reproductions."""
    for directory, below, files in os.walk(place):
        if {"config.yaml", "summary.json"} <= set(files):
            below.clear()
        planned = sweeps.planned(Path(directory)) if RECORD in files else None
        begun = {name.partition("-")[0] for name in below}
        for number, overrides in enumerate(planned.jobs if planned else []):
            if str(number) not in begun:
                assert planned
                where = Path(directory) / str(number)
                yield _not_begun(where, MISSING, overrides, planned.config_dir)
    for cell in cells(place):
        place_of_run = cell.place.run
        if cell.place.cell.kind == SOLVE and not (place_of_run / "summary.json").exists():
            yield _not_begun(place_of_run, cell.status, cell.overrides)


def _not_begun(
    where: Path, status: str, overrides: Sequence[str], config_dir: Path | None = None
) -> Listed:
    run = _NotBegun(f"{where} ({' '.join(overrides)})", status, 0.0)
    run.settings = {}
    # What was refused then is refused again.
    with suppress(StdeError):
        settings = kept.settings(compose("solve", overrides, config_dir=config_dir))
        run.settings = settings
        run.pde, run.solution = (settings.get(f"choices.{k}") for k in ("pde", "pde/solution"))
        run.dim, run.seed, run.steps_planned = (settings[k] for k in ("dim", "seed", "steps"))
    return run


def _tell_apart(groups: Sequence[Group]) -> None:
    """Say of groups of one problem and method in which settings they differ."""
    alike: dict[Any, list[Group]] = defaultdict(list)
    for group in groups:
        if group.settings:
            alike[group.problem, group.method].append(group)
    for those in alike.values():
        keys = list(dict.fromkeys(key for group in those for key in group.settings))
        differing = [k for k in keys if len({repr(g.settings.get(k)) for g in those}) > 1]
        chosen = [k.removeprefix("choices.") for k in differing if k.startswith("choices.")]
        shown = [
            key
            for key in differing
            if not key.startswith("choices.")
            and key != "steps"
            and not _comes_with(key, chosen, those)
        ]
        for group in those:
            values = {name: group.settings.get(f"choices.{name}", NONE) for name in chosen}
            values |= {key: group.settings.get(key, NONE) for key in shown}
            group.difference = ", ".join(f"{key}={value}" for key, value in values.items())


def _comes_with(key: str, chosen: Sequence[str], groups: Sequence[Group]) -> bool:
    """Whether a choice that is shown stands for the key: all who made it have the same there."""
    for name in chosen:
        if key.startswith(f"{name.replace('/', '.')}."):
            values = defaultdict[object, set[str]](set)
            for group in groups:
                values[group.settings.get(f"choices.{name}")].add(repr(group.settings.get(key)))
            return all(len(found) == 1 for found in values.values())
    return False


def table(groups: Sequence[Group]) -> Table:
    """A row a group."""
    names = {name: Column(name, numeric=False) for name in ("pde", "solution", "method", "status")}
    told_apart = any(group.difference for group in groups)
    of_a_point = any(group.values(_at_point) for group in groups)
    columns = (
        *(names["pde"], names["solution"], Column("dim"), names["method"]),
        *((Column("with", numeric=False),) if told_apart else ()),
        *map(Column, ("seeds", "error", "trivial")),
        *((Column("at the point"),) if of_a_point else ()),
        *map(Column, ("steps", "seconds", "steps/s", "MB")),
        names["status"],
    )
    rows = tuple(tuple(_cells(group, told_apart, of_a_point)) for group in groups)
    return Table(columns, rows, notes=tuple(_notes(groups, of_a_point)))


def _at_point(run: Listed) -> float | None:
    return run.rel_error_at_point


def _cells(group: Group, told_apart: bool, of_a_point: bool) -> Iterator[str]:
    pde, solution, dim = group.problem
    yield from (pde, solution or NONE, figure(dim or None), group.method)
    if told_apart:
        yield group.difference
    yield figure(len(group.runs))
    yield mean_and_std(group.values(lambda run: run.rel_l2_error))
    yield figure(group.mean(lambda run: run.trivial_rel_l2_error))
    if of_a_point:
        yield mean_and_std(group.values(_at_point))
    yield _steps(group)
    yield figure(group.mean(lambda run: run.seconds))
    yield figure(group.mean(lambda run: run.steps_per_second))
    yield figure(max(group.values(lambda run: run.peak_memory_mb), default=None))
    yield group.status


def _steps(group: Group) -> str:
    taken = sorted({run.steps or 0 for run in group.runs})
    planned = {run.steps_planned for run in group.runs}
    if planned == set(taken) or planned == {None}:
        return NONE if planned == {None} else figure(taken[0])
    done = " to ".join(figure(steps) for steps in dict.fromkeys((taken[0], taken[-1])))
    return f"{done} of {' or '.join(figure(steps) for steps in planned)}"


def _notes(groups: Iterable[Group], of_a_point: bool) -> Iterator[str]:
    yield (
        "error: relative L2, mean ± standard deviation over seeds. trivial: the least that any "
        "constant times the constraint would have. seconds: of the whole run. MB: at the peak."
    )
    if of_a_point:
        yield "at the point: relative error of the value at the point where it is wanted."
    for group in groups:
        if group.status != FINISHED:
            places = ", ".join(run.run_dir for run in group.runs[:_MOST_PLACES])
            others = len(group.runs) - _MOST_PLACES
            yield f"{group.status}: {places}{f' and {others} more' if others > 0 else ''}"


_MOST_PLACES = 3
