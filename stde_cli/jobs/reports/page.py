"""The page over runs: their table, how they trained, what they cost, what they found."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import count
from pathlib import Path

from stde_cli import __version__
from stde_cli.jobs import trained
from stde_cli.jobs.reports import groups as grouping
from stde_cli.jobs.reports import studies
from stde_cli.jobs.reports.groups import Group, is_begun
from stde_cli.jobs.reports.measurements import Measurements
from stde_cli.jobs.reports.solution import see
from stde_cli.jobs.tuning.outcome import Outcome
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.listing import UNREADABLE, Listed
from stde_cli.runs.reporting import pictures
from stde_cli.runs.reporting.pages import Picture, Section, page
from stde_cli.runs.reporting.panels import Panel, Series, are_empty
from stde_cli.runs.reporting.pictures import Curve
from stde_cli.runs.reporting.tables import figure
from stde_cli.runs.summary import FAILED, FINISHED
from stde_cli.system.errors import UsageError
from stde_cli.system.files import write_atomically

MOST_SOLUTIONS = 4
"""Runs whose solution is drawn: each is read back and compiled, which takes seconds."""


def write_page(
    groups: Sequence[Group],
    path: Path,
    *,
    title: str,
    measured: Sequence[Measurements] = (),
    tuned: dict[str, Outcome] | None = None,
    most_solutions: int = MOST_SOLUTIONS,
    trust: bool = False,
) -> None:
    """Write the page to a file, as a whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    sections = [
        *([Section("Results", tables=[grouping.table(groups)])] if groups else []),
        *studies.sections(tuned or {}),
        *_training(groups),
        *_growth(groups),
        *_measured(measured),
        *_solutions(groups, most_solutions, trust),
    ]
    foot = f"stde {__version__}, {datetime.now():%Y-%m-%d %H:%M}"
    write_atomically(path, page(title, sections, foot))


def _problem(group: Group) -> str:
    pde, solution, dim = group.problem
    return f"{', '.join(filter(None, (pde, solution)))}, {figure(dim)} dimensions"


def _training(groups: Sequence[Group]) -> Iterator[Section]:
    by_problem: dict[object, list[Group]] = defaultdict(list)
    for group in groups:
        by_problem[group.problem].append(group)
    drawn: list[Picture] = []
    for number, those in enumerate(by_problem.values()):
        curves = [
            Curve(group.name, rows, group.status == FINISHED)
            for group in those
            for run in group.runs
            if (rows := _rows(run))
        ]
        if curves:
            known = [b for group in those if (b := group.mean(_trivial)) is not None]
            trivial = known[0] if known else None
            svg = pictures.training(curves, trivial, f"training{number}")
            caption = f"{_problem(those[0])}: loss"
            caption += " and relative L2 error" if trivial is not None else ""
            caption += " against steps and seconds, a line a run."
            caption += _held_against([run for group in those for run in group.runs])
            drawn.append(Picture(svg, caption))
    if drawn:
        yield Section("Training", pictures=drawn)


def _held_against(runs: Sequence[Listed]) -> str:
    """What is to be said of errors that are not against an exact solution."""
    known = {(run.errors_against, run.solution_error) for run in runs if run.errors_against}
    said = (
        f" Errors are against {name}" + ("." if error is None else f", known to {error:.1e}.")
        for name, error in sorted(known, key=str)
    )
    return "".join(said)


def _rows(run: Listed) -> list[dict[str, float]]:
    """Of metrics.jsonl, and of the final evaluation, which is in the summary alone."""
    unknown = run.status == UNREADABLE or not is_begun(run)
    rows = [] if unknown else RunDirectory(Path(run.run_dir)).read_metrics()
    if rows and run.status == FINISHED and run.steps and run.rel_l2_error is not None:
        last = {"step": float(run.steps), "rel_l2_error": run.rel_l2_error}
        rows.append({**last, "seconds": rows[-1].get("seconds", 0.0)})
    return rows


def _trivial(run: Listed) -> float | None:
    return run.trivial_rel_l2_error


def _growth(groups: Sequence[Group]) -> Iterator[Section]:
    """Where a PDE was solved in several dimensions."""
    by_equation: dict[tuple[str, str], dict[str, list[Group]]] = defaultdict(dict)
    for group in groups:
        if group.status == FINISHED:
            pde, solution, _ = group.problem
            by_equation[pde, solution].setdefault(group.name, []).append(group)
    drawn: list[Picture] = []
    for number, (equation, methods) in enumerate(by_equation.items()):
        if len({group.problem for those in methods.values() for group in those}) > 1:
            panels = [
                Panel(
                    "dimension",
                    label,
                    [
                        Series(name, [g.problem[2] for g in those], [g.mean(of) for g in those])
                        for name, those in methods.items()
                    ],
                )
                for label, of in _COSTS.items()
            ]
            caption = f"{', '.join(filter(None, equation))}: means over seeds."
            drawn.append(Picture(pictures.log_log(panels, f"growth{number}"), caption))
    if drawn:
        yield Section("Speed and memory", pictures=drawn)


_COSTS: dict[str, Callable[[Listed], float | None]] = {
    "steps a second": lambda run: run.steps_per_second,
    "peak memory, MB": lambda run: run.peak_memory_mb,
}


def _measured(found: Sequence[Measurements]) -> Iterator[Section]:
    drawn = [
        Picture(pictures.log_log(each.panels, f"measured{number}"), f"{each.table.title}.")
        for number, each in enumerate(found)
        if not are_empty(each.panels)
    ]
    if found:
        yield Section("Measurements", tables=[each.table for each in found], pictures=drawn)


def _solutions(groups: Sequence[Group], most: int, trust: bool) -> Iterator[Section]:
    """Of each group the newest run, as far as its checkpoint goes."""
    candidates = [
        (group, directory)
        for group in sorted(groups, key=lambda group: group.status != FINISHED)
        if group.status != FAILED
        and is_begun(group.runs[0])
        and (directory := RunDirectory(Path(group.runs[0].run_dir))).has_checkpoint()
    ]
    drawn: list[Picture] = []
    texts: list[str] = []
    names = (f"solution{number}" for number in count())
    for group, directory in candidates[:most]:
        try:
            loaded = trained.load(directory, trust=trust)
        except UsageError as error:
            texts.append(f"No picture of {directory.path}: {error}")
            continue
        seen = see(loaded)
        where = f"{_problem(group)}, {group.name}: u at step {loaded.step} of {directory.path}."
        if seen.planes:
            drawn.append(Picture(pictures.planes(seen.planes, next(names)), where))
        if seen.lines:
            svg = pictures.lines(seen.lines, seen.scattered, next(names))
            beside = " Beside it, predicted against exact values at points of the domain."
            drawn.append(Picture(svg, where + (beside if seen.scattered else "")))
    if (left := len(candidates) - most) > 0:
        texts.append(f"{left} more can be drawn: --solutions {len(candidates)}.")
    if drawn or texts:
        yield Section("Solutions", texts, pictures=drawn)
