"""stde bench: methods side by side, in one run on one machine."""

import json
import re
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from rich.console import Console
from rich.table import Table

from stde_cli.cli import hydra_app
from stde_cli.config.composition import choices, config_directory
from stde_cli.config.hydra_errors import explain
from stde_cli.config.validate import validate
from stde_cli.system.errors import UsageError


def main(arguments: list[str]) -> int:
    return hydra_app.run("bench", arguments, task)


def task(config: DictConfig) -> None:
    """Measure every method of `bench.methods`, print a table, write `bench.out`."""
    from stde_cli.jobs.benchmarks import seconds_to_error, speed

    validate(config)
    _check_methods(config)
    overrides = hydra_app.overrides_of(HydraConfig.get())
    variants = {m: variant_of(config, overrides, m) for m in config.bench.methods}
    out = Path(config.bench.out) if config.bench.out else None
    if out is not None:
        _check_writable(out)
    benchmark = speed if config.bench.until is None else seconds_to_error
    console = Console(highlight=False, soft_wrap=True)
    rows: list[dict[str, Any]] = []
    speeds: list[float | None] = []
    for method, variant in variants.items():
        figures = _measured(benchmark, method, variant, console)
        rows.append(_row(method, variant) | figures._asdict())
        speeds.append(figures.speed)
        if len(rows) == len(variants):
            _fill_ratios(rows, speeds)
        if out is not None:
            out.write_text(json.dumps(rows, indent=2) + "\n")
    first = rows[0]
    console.print(f"{first['pde']}, dim {first['dim']:,}, {first['points']} points a step")
    console.print(_table(rows, benchmark.COLUMNS))
    for row in rows:
        if row["note"]:
            console.print(f"{row['method']}: {row['note']}", markup=False)


def _check_methods(config: DictConfig) -> None:
    if not config.bench.methods:
        raise UsageError("bench.methods", "[]", "there is nothing to measure")
    for method in config.bench.methods:
        if method not in config.bench.variants:
            known = ", ".join(config.bench.variants)
            raise UsageError("bench.methods", method, "no such variant", f"choose from {known}")


def variant_of(config: DictConfig, overrides: list[str], method: str) -> DictConfig:
    """`config` with the method's own overrides, the user's applying wherever they fit."""
    changes = list(config.bench.variants[method])
    regrouped = {key for key, sign, _ in (c.partition("=") for c in changes) if sign}
    # Another choice in a group may lack the keys set on the first; the batch is shared below.
    kept = [o for o in overrides if _group(o) not in regrouped]
    together = _with_one_list_of_experiments([*kept, *changes])
    for number, change in enumerate(changes):
        if not re.match(r"~|[+]*[\w./@]+=", change):
            key = f"bench.variants.{method}[{number}]"
            raise UsageError(key, change, "is no override", "write key=value")
    try:
        variant = compose("bench", overrides=together, return_hydra_config=True)
    # A group that is given a number is a ValueError of Hydra's.
    except (HydraException, ValueError) as error:
        raise explain(error, config_directory(), "bench") from error
    with open_dict(variant):
        variant.choices = choices(variant.pop("hydra"))
        shared = "estimator" in regrouped and "estimator.batch" not in regrouped
        if shared and "batch" in variant.estimator and "batch" in config.estimator:
            variant.estimator.batch = config.estimator.batch
    validate(variant)
    return variant


def _group(override: str) -> str:
    """The group that an override chooses from, or changes a key of."""
    return re.split(r"[./@=]", override.lstrip("+~"), maxsplit=1)[0]


def _with_one_list_of_experiments(overrides: list[str]) -> list[str]:
    """Hydra takes one value a group, or a list: the user's experiment and the method's."""
    names = [o.partition("=")[2].strip("[]") for o in overrides if _is_experiment(o)]
    others = [o for o in overrides if not _is_experiment(o)]
    return [*others, f"+experiment=[{','.join(names)}]"] if names else others


def _is_experiment(override: str) -> bool:
    return override.startswith("+experiment=")


def _check_writable(out: Path) -> None:
    try:
        out.touch()
    except OSError as error:
        raise UsageError("bench.out", out, f"cannot be written ({error.strerror})") from error


def _measured(benchmark: Any, method: str, config: DictConfig, console: Console) -> Any:
    """The benchmark's figures; without any but a note where the method cannot be measured."""
    from stde_cli.jobs.benchmarks import Unmeasured, in_child

    with console.status(f"measuring {method}") as status:
        try:
            return in_child(
                benchmark.measure,
                config,
                lambda progress: status.update(f"measuring {method}: {progress}"),
            )
        except Unmeasured as unmeasured:
            return benchmark.Figures(note=str(unmeasured))


def _row(method: str, config: DictConfig) -> dict[str, Any]:
    return {
        "method": method,
        "pde": config.choices.get("pde"),
        "dim": config.dim,
        "points": config.train.points,
        "ratio": None,
    }


def _fill_ratios(rows: list[dict[str, Any]], speeds: list[float | None]) -> None:
    """How many times the last method's speed each has."""
    reference = speeds[-1]
    for row, speed in zip(rows, speeds, strict=True):
        row["ratio"] = speed / reference if speed and reference else None


def _table(rows: list[dict[str, Any]], columns: dict[str, str]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("method", no_wrap=True)
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row["method"], *(_formatted(row[key]) for key in columns.values()))
    return table


def _formatted(figure: float | None) -> str:
    if figure is None:
        return "—"
    if isinstance(figure, int) or abs(figure) >= 1000:
        return f"{figure:,.0f}"
    return f"{figure:.2e}" if 0 < abs(figure) < 0.01 else f"{figure:.4g}"
