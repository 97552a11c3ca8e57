"""The report on a plan as tables for the terminal."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

from rich.console import Console
from rich.table import Table

from stde_cli.jobs.plans.named import combination


def lines(found: dict[str, Any]) -> Iterator[str]:
    """A report: within the width of a terminal, and on whole lines into a pipe."""
    wide = None if sys.stdout.isatty() else 10_000
    console = Console(highlight=False, markup=False, emoji=False, width=wide)
    with console.capture() as capture:
        console.print(found["expression"], style="bold")
        console.print(f"coordinates {', '.join(found['coordinates'])}", style="dim")
        for title, table in _tables(found):
            console.print(f"\n{title}", style="bold")
            console.print(table)
        for warning in found["warnings"]:
            console.print(f"\nwarning: {warning}", style="yellow")
    yield from (line.rstrip() for line in capture.get().splitlines())


def _tables(found: dict[str, Any]) -> Iterator[tuple[str, Table]]:
    """Each table, and what stands above it."""
    if planned := found["plan"]:
        yield "Pushes", _pushes(planned)
        if any(len(term["index"]) == 1 for r in planned["readings"] for term in r["terms"]):
            yield "What lands on a coefficient", _landings(planned)
        measured = "" if planned["relative_error"] else " (not measured: the plan is large)"
        yield f"Readings, with the relative error to expect{measured}", _readings(planned)
        yield "Costs", _costs(found)
    if found["sampled"]:
        rows = [(item["derivative"], item["how"]) for item in found["sampled"]]
        yield "Not planned; r is estimator.batch", _table(("", ""), rows)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A heading that begins with ">" has its column flush right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.show_header = any(headings)
    for heading in headings:
        right = heading.startswith(">")
        side = "right" if right else "left"
        table.add_column(heading.removeprefix(">"), justify=side, overflow="fold", no_wrap=right)
    for row in rows:
        table.add_row(*row)
    return table


def _pushes(planned: dict[str, Any]) -> Table:
    rows = [
        (p["name"], str(p["order"]), str(p["coefficients"]), f"{p['products']:,}",
         f"{p['cost']:.1f}", p["what"])
        for p in planned["pushes"]
    ]  # fmt: skip
    headings = ("", ">order", ">coefficients", ">products", ">cost", "Taylor polynomial")
    return _table(headings, rows)


def _landings(planned: dict[str, Any]) -> Table:
    """What lands on the coefficients of jets that are read."""
    rows = []
    terms = (term for reading in planned["readings"] for term in reading["terms"])
    read = {(t["push"], *t["index"]): t for t in terms if len(t["index"]) == 1}
    for _, term in sorted(read.items()):
        landing: dict[str, list] = {}
        for one in term["lands"]:
            pair = Fraction(one["prefactor"]), one["derivative"]
            landing.setdefault(_partition(one["partition"]), []).append(pair)
        for number, (partition, pairs) in enumerate(landing.items()):
            rows.append(("" if number else term["coefficient"], partition, combination(pairs)))
    return _table(("coefficient", "partition", "holds"), rows)


def _partition(parts: Sequence[Sequence[int]]) -> str:
    """2+2+2+3; equal parts as 8 x 1 where there are many."""
    if len(parts) <= 5:
        return "+".join(str(part[0]) for part in parts)
    counts = Counter(part[0] for part in parts)
    return " + ".join(f"{n} x {part}" if n > 1 else f"{part}" for part, n in counts.items())


def _readings(planned: dict[str, Any]) -> Table:
    rows = []
    for reading in planned["readings"]:
        direct = reading["by_subtraction"]
        error = reading["relative_error"]
        rows.append((
            reading["derivative"],
            f"{direct} = {reading['text']}" if direct else reading["text"],
            *(f"{error[kind]:.0e}" if error else "-" for kind in ("float32", "float64")),
        ))  # fmt: skip
    return _table(("derivative", "read as", ">float32", ">float64"), rows)


def _costs(found: dict[str, Any]) -> Table:
    planned = found["plan"]
    options = {"chosen": {**planned, "pushes": len(planned["pushes"])}}
    options |= {f"{family} alone": size for family, size in found["alternatives"].items()}
    if len(planned["readings"]) > 1:
        for reading in planned["readings"]:
            options[f"{reading['derivative']} by itself"] = {"cost": reading["cost_alone"]}
        options["each by itself, in all"] = found["each_alone"]
    rows = []
    for name, size in options.items():
        counts = (f"{size[key]:,}" if key in size else "" for key in
                  ("pushes", "coefficients", "products"))  # fmt: skip
        rows.append((name, f"{size['cost']:.1f}" if "cost" in size else "-", *counts,
                     size.get("why", "")))  # fmt: skip
    return _table(("plan", ">cost", ">pushes", ">coefficients", ">products", ""), rows)
