"""The end of a run, as a table, a verdict, and the commands that go on from there."""

import shlex
from pathlib import Path

from rich.table import Table

from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.summary import Summary
from stde_cli.runs.tracking.screen import screen

_ROWS = (
    ("problem", "problem"),
    ("steps", "steps"),
    ("loss", "loss"),
    ("u at the wanted point", "value_at_point"),
    ("reference there", "reference_at_point"),
    ("relative error there", "rel_error_at_point"),
    ("relative L1 error", "rel_l1_error"),
    ("relative L2 error", "rel_l2_error"),
    ("trivial baseline, L2", "trivial_rel_l2_error"),
    ("errors are against", "errors_against"),
    ("which is known to", "solution_error"),
    ("residual, root mean square", "residual_rms"),
    ("steps a second", "steps_per_second"),
    ("compile, seconds", "compile_seconds"),
    ("in all, seconds", "wall_seconds"),
    ("peak memory, MB", "peak_memory_mb"),
    ("parameters", "parameters"),
    ("device", "device"),
)


_AT_POINT = ("value_at_point", "reference_at_point")
"""Two values that are to be held against each other."""


def show_summary(summary: Summary) -> None:
    """Print the summary of a finished run."""
    console = screen()
    solution = f", {summary.solution}" if summary.solution else ""
    problem = f"{summary.pde}{solution}, dim {summary.dim:,}, seed {summary.seed}"
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="left")
    for label, key in _ROWS:
        value = problem if key == "problem" else getattr(summary, key)
        if value is not None:
            table.add_row(label, f"{value:.7g}" if key in _AT_POINT else _format(value))
    run = shlex.quote(summary.run_dir)
    # In one piece: jobs of a sweep end side by side.
    with console:
        console.print(table)
        console.print(verdict(summary))
        console.print(f"run directory  {run}", markup=False)
        console.print(f"  stde evaluate {run}", markup=False)
        console.print(f"  stde predict {run} --points points.npy --out values.npy", markup=False)
        console.print(f"  stde resume {run} steps={2 * summary.steps}", markup=False)
        console.print(f"  {_report(summary)}", markup=False)


def _report(summary: Summary) -> str:
    """Where the page about the run is, or how to have one."""
    run = RunDirectory(Path(summary.run_dir))
    page = run.report
    # An older one is of before the run was resumed.
    if page.exists() and page.stat().st_mtime >= run.summary.stat().st_mtime:
        return f"report  {shlex.quote(str(page))}"
    return f"stde report {shlex.quote(summary.run_dir)} --html report.html"


def verdict(summary: Summary) -> str:
    """In words: whether the run learned more than the shape of its boundary condition."""
    error, trivial = summary.rel_l2_error, summary.trivial_rel_l2_error
    if summary.rel_error_at_point is not None and error is None:
        return f"At the wanted point the relative error is {summary.rel_error_at_point:.2e}."
    if error is None or trivial is None:
        return "No exact solution is known: judge the run by its residual."
    if summary.solution_error is not None and error <= summary.solution_error:
        known = f"{summary.errors_against} is known to {summary.solution_error:.1e}"
        return f"The error is too small to be measured: {known}."
    if error < trivial:
        return f"The error is {trivial / error:.3g} times below the trivial baseline."
    return (
        "The error is not below that of the best constant times the constraint: "
        "the run has not beaten the trivial baseline."
    )


def _format(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
