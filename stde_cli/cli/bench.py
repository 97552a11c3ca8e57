"""stde bench: methods side by side, in one run on one machine."""

import json
from pathlib import Path

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict
from rich.console import Console
from rich.table import Table

from stde_cli.cli import hydra_app
from stde_cli.config.validate import validate
from stde_cli.errors import UsageError


def main(arguments: list[str]) -> int:
    return hydra_app.run("bench", arguments, task)


def task(config: DictConfig) -> None:
    """Measure every method of `bench.methods`, print a table, write `bench.out`."""
    from stde_cli.benchmark import Row, check_methods, measure_in_child

    validate(config)
    check_methods(config)
    overrides = list(HydraConfig.get().overrides.task)
    variants = {m: _variant(config, overrides, m) for m in config.bench.methods}
    out = Path(config.bench.out) if config.bench.out else None
    if out is not None:
        _check_writable(out)
    console = Console(highlight=False, soft_wrap=True)
    rows: list[Row] = []
    for method, variant in variants.items():
        with console.status(f"measuring {method}"):
            rows.append(measure_in_child(method, variant))
        if out is not None:
            out.write_text(json.dumps(rows, indent=2) + "\n")
    first = rows[0]
    console.print(f"{first['pde']}, dim {first['dim']:,}, {first['points']} points a step")
    console.print(_table(rows))
    for row in rows:
        if row["note"]:
            console.print(f"{row['method']}: {row['note']}", markup=False)


def _variant(config: DictConfig, overrides: list[str], method: str) -> DictConfig:
    """`config` with the method's own overrides, the user's applying wherever they fit."""
    changes = list(config.bench.variants[method])
    regrouped = any(change.startswith("estimator=") for change in changes)
    # Another estimator may lack the keys set on the default one; the batch is shared below.
    kept = [o for o in overrides if not (regrouped and o.lstrip("+").startswith("estimator"))]
    variant = compose("bench", overrides=[*kept, *changes])
    with open_dict(variant):
        variant.choices = {**config.choices}
        if "batch" in variant.estimator and "batch" in config.estimator:
            variant.estimator.batch = config.estimator.batch
    validate(variant)
    return variant


def _check_writable(out: Path) -> None:
    try:
        out.touch()
    except OSError as error:
        raise UsageError("bench.out", out, f"cannot be written ({error.strerror})") from error


def _table(rows: list) -> Table:
    reference = rows[-1]["steps_per_second"]
    table = Table(box=None, pad_edge=False)
    table.add_column("method", no_wrap=True)
    for heading in ("steps/s", "ratio", "compile s", "temp MB", "peak MB", "time/floor"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        rate = row["steps_per_second"]
        figures = [
            rate,
            rate / reference if rate and reference else None,
            row["compile_seconds"],
            row["temp_memory_mb"],
            row["peak_memory_mb"],
            row["time_over_floor"],
        ]
        table.add_row(row["method"], *("—" if f is None else f"{f:,.4g}" for f in figures))
    return table
