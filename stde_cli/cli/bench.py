"""stde bench: methods side by side, in one run on one machine."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from stde_cli.cli import hydra_app
from stde_cli.cli.arguments import told_as
from stde_cli.config.validate import validate
from stde_cli.config.variants import variant_of
from stde_cli.runs.reporting.benchmarks import benchmark_table, fitting, panels_of
from stde_cli.runs.reporting.tables import written
from stde_cli.runs.tracking.screen import screen
from stde_cli.system.errors import Interrupted, UsageError
from stde_cli.system.files import json_text
from stde_cli.system.interrupts import Interrupts

if TYPE_CHECKING:
    from stde_cli.jobs.benchmarks import Matrix

PLOTS = (".svg", ".pdf", ".png")
RETRIED = ("timeout", "failed", "oom", "refused")


def main(arguments: list[str]) -> int:
    return hydra_app.run("bench", arguments, task)


def task(config: DictConfig) -> None:
    """Measure each method at each setting; add rows to `bench.out`, print a table, draw a plot."""
    from stde_cli.jobs.benchmarks import Matrix, Progress, groups_of

    validate(config)
    _check(config)
    overrides = hydra_app.overrides_of(HydraConfig.get())
    variants = {method: variant_of(config, overrides, method) for method in config.bench.methods}
    for method, variant in variants.items():
        if variant.race.candidates:
            why = f"{method} would be another configuration each time"
            raise UsageError("race", None, why, "take +experiment=polynomials, say")
    with told_as(file="bench.out"):
        matrix = Matrix(config, groups_of(config, variants), _warn)
    console = screen(error=config.bench.format != "table")
    try:
        with Interrupts() as interrupts, Progress(matrix, console, interrupts) as progress:
            matrix.run(progress)
    except Interrupted:
        _show(config, matrix)
        raise
    _show(config, matrix)
    if config.bench.plot:
        from stde_cli.runs.reporting.plots import plot_log_log

        plot_log_log(panels_of(matrix.rows), "bench.plot", Path(config.bench.plot))
    matrix.raise_failures()


def _show(config: DictConfig, matrix: "Matrix") -> None:
    if not matrix.rows:
        return
    table = benchmark_table(matrix.rows, matrix.kind.COLUMNS)
    match config.bench.format:
        case "table":
            console = screen()
            console.print(table.title, markup=False)
            console.print(fitting(table, console), crop=False)
            for note in table.notes:
                console.print(note, markup=False)
        case "json":
            print(json_text(matrix.rows, indent=2))
        case format:
            print(written(table, format), end="")


def _warn(text: str) -> None:
    print(f"stde: warning: {text}", file=sys.stderr)


def _check(config: DictConfig) -> None:
    """What is wrong by itself, before methods are composed."""
    bench = config.bench
    if not bench.methods:
        raise UsageError("bench.methods", "[]", "there is nothing to measure")
    for method in bench.methods:
        if method not in bench.variants:
            known = ", ".join(bench.variants)
            raise UsageError("bench.methods", method, "no such variant", f"choose from {known}")
    if bench.reference not in (None, *bench.methods):
        known = ", ".join(bench.methods)
        why = "is none of the methods that are measured"
        raise UsageError("bench.reference", bench.reference, why, f"choose from {known}")
    for status in bench.retry:
        if status not in RETRIED:
            known = ", ".join(RETRIED)
            raise UsageError("bench.retry", status, "no such status", f"choose from {known}")
    for key, path in (("bench.out", bench.out), ("bench.plot", bench.plot)):
        if path is not None:
            _check_writable(key, Path(path))
    if bench.plot is not None and Path(bench.plot).suffix not in PLOTS:
        why = f"must end in {', '.join(PLOTS)}"
        raise UsageError("bench.plot", bench.plot, why)


def _check_writable(key: str, path: Path) -> None:
    """Before anything is measured; what was not there is not there afterwards."""
    there = path.exists()
    try:
        with path.open("ab"):
            pass
        if not there:
            path.unlink()
    except OSError as error:
        raise UsageError(key, path, f"cannot be written ({error.strerror})") from error
