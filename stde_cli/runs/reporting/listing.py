"""A list of runs as a table."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from stde_cli.runs.listing import KILLED, UNREADABLE, Listed
from stde_cli.runs.summary import FAILED, FINISHED, PRUNED
from stde_cli.runs.tracking.screen import screen

_STYLES = {FINISHED: "green", PRUNED: "yellow", FAILED: "red", KILLED: "red", UNREADABLE: "red"}
_WIDEST = 10_000
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def show_runs(runs: Sequence[Listed]) -> None:
    """Print a line a run."""
    console = screen()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("run", "pde", "status"):
        table.add_column(name, no_wrap=True)
    of_a_point = any(run.rel_error_at_point is not None for run in runs)
    for name in ("dim", "error", *(["at the point"] if of_a_point else []), "steps", "age"):
        table.add_column(name, no_wrap=True, justify="right")
    for run in runs:
        pde = ", ".join(filter(None, (run.pde, run.solution)))
        table.add_row(
            Text(run.run_dir),
            Text(pde),
            Text(run.status, style=_STYLES.get(run.status, "")),
            "" if run.dim is None else f"{run.dim:,}",
            _error(run.rel_l2_error),
            *([_error(run.rel_error_at_point)] if of_a_point else []),
            _steps(run),
            _age(run.age_seconds),
        )
    # A name that is cut short is of no use: what is wider than the screen runs on.
    console.width = _WIDEST
    console.print(table)


def _error(value: float | None) -> str:
    return "" if value is None else f"{value:.2e}"


def _steps(run: Listed) -> str:
    if run.steps is None or run.steps_planned is None:
        return ""
    done = f"{run.steps:,}"
    return done if run.steps == run.steps_planned else f"{done} of {run.steps_planned:,}"


def _age(seconds: float) -> str:
    """In the largest unit that fits: 3 min, 2 d."""
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "0 s"
