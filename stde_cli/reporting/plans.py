"""How the derivatives in an expression are computed, as data and on the terminal."""

import math
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from fractions import Fraction
from itertools import product
from typing import Any

from rich.console import Console
from rich.table import Table

from stde_cli.expressions import (
    Derivative,
    Drift,
    GradNorm2,
    Laplacian,
    Layout,
    Node,
    Partial,
    Polyharmonic,
    SumOfPartials,
    derivatives,
)
from stde_cli.expressions.algebra import partial
from stde_cli.expressions.nodes import Number
from stde_cli.taylor.planner import (
    FAMILIES,
    Family,
    Index,
    Plan,
    Push,
    Reading,
    partitions_onto,
    plan,
)

UNSAFE = 1e-2
"""The relative error from which on a plan is warned of."""

_WIDEST = 64
"""Partials of more partials below them are not searched for jets: that takes from seconds on."""

_LISTED = 10
"""Coefficients of a polynomial that are named on the terminal."""


def exact_and_sampled(node: Node, layout: Layout) -> tuple[list[Partial], list[Derivative]]:
    """What an expression takes of u: partials, read exactly, and what is estimated or one jet.

    Over single coordinates a Laplacian or a power of it is written out in partials.
    """
    exact: list[Partial] = []
    sampled: list[Derivative] = []
    for found in derivatives(node):
        if isinstance(found, Partial):
            exact.append(found)
        elif isinstance(found, Laplacian | Polyharmonic) and layout.family is None:
            times = getattr(found, "order", 1)
            choices = product(layout.space, repeat=times)
            exact += (partial(choice * 2, layout, found.column) for choice in choices)
        else:
            sampled.append(found)
    return list(dict.fromkeys(exact)), sampled


def report(
    expression: str,
    layout: Layout,
    exact: Sequence[Partial],
    sampled: Sequence[Derivative],
    families: Collection[Family],
) -> dict[str, Any]:
    """All that `show` prints, in numbers, texts, lists and dictionaries: it can be made JSON.

    Raises:
        ValueError: the planner cannot plan `exact` with `families`.
    """
    found = {
        "expression": expression,
        "coordinates": [
            p if isinstance(p, str) else f"{p[0]}1..{p[0]}{p[1]}" for p in layout.parts
        ],
        "families": list(families),
        "sampled": [{"derivative": _title(node), "how": _words(node)} for node in sampled],
        "plan": None,
        "warnings": [],
    }
    return found | _Planned(layout, exact, families).report() if exact else found


class _Planned:
    """A joint plan of partials, and the names of everything in it."""

    def __init__(self, layout: Layout, exact: Sequence[Partial], families: Collection[Family]):
        self.layout, self.families = layout, families
        self.moved = sorted({c for node in exact for c in node.coordinates})
        self.names = {
            tuple(node.coordinates.count(c) for c in self.moved): node.name for node in exact
        }
        self.plan = plan(list(self.names), families)
        self.letters = [_letter(number) for number in range(len(self.plan.pushes))]
        self.contents = [push.contents() for push in self.plan.pushes]

    def report(self) -> dict[str, Any]:
        from stde_cli.taylor.precision import MOST_PRODUCTS, relative_errors

        small = sum(push.products for push in self.plan.pushes) <= MOST_PRODUCTS
        errors = relative_errors(self.plan) if small else {}
        alone = {q: plan([q], self.families) for q in self.names}
        worst = {kind: max(found.values()) for kind, found in errors.items()}
        return {
            "plan": {
                **_size(self.plan),
                "pushes": [self.push(number) for number in range(len(self.plan.pushes))],
                "readings": [
                    self.reading(reading)
                    | {"cost_alone": alone[reading.derivative].cost}
                    | {
                        "relative_error": {
                            kind: found[reading.derivative] for kind, found in errors.items()
                        }
                    }
                    for reading in self.plan.readings
                ],
                "relative_error": worst,
            },
            "alternatives": {family: self.alternative(family) for family in FAMILIES},
            "each_alone": {
                key: sum(_size(option)[key] for option in alone.values())
                for key in _size(self.plan)
            },
            "warnings": _warnings(worst),
        }

    def alternative(self, family: Family) -> dict[str, Any]:
        """The best plan of one family alone, or why there is none."""
        widest = max(math.prod(n + 1 for n in q) for q in self.names)
        if family != "multivariate" and widest > _WIDEST:
            return {"why": "not searched: too wide"}
        try:
            return _size(plan(list(self.names), [family]))
        except ValueError:
            return {"why": "none: too many partials on a coefficient"}

    def name(self, q: Index) -> str:
        positions = [c for c, count in zip(self.moved, q, strict=True) for _ in range(count)]
        return partial(positions, self.layout, 0).name

    def coefficient(self, number: int, index: Index) -> str:
        """A9 for a jet, A_xxy for a polynomial: there it is one partial."""
        if len(index) == 1:
            return f"{self.letters[number]}{index[0]}"
        (q,) = self.contents[number][index]
        return f"{self.letters[number]}_{self.name(q).removeprefix('u_')}"

    def push(self, number: int) -> dict[str, Any]:
        one: Push = self.plan.pushes[number]
        return {
            "name": self.letters[number],
            "what": self.words(number),
            "seeds": [{"index": list(at), "vector": list(vector)} for at, vector in one.seeds],
            "indices": [list(index) for index in one.indices],
            "order": max(map(sum, one.indices)),
            "coefficients": len(one.indices),
            "products": one.products,
            "cost": one.cost,
        }

    def words(self, number: int) -> str:
        """Which tangent carries which coordinate."""
        one, labels = self.plan.pushes[number], [self.layout.label(c) for c in self.moved]
        vectors = [(at, _vector(vector, labels)) for at, vector in one.seeds]
        if len(one.indices[0]) > 1:
            names = [self.coefficient(number, index).split("_", 1)[1] for index in one.indices]
            listed = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
            unknowns = ", ".join(text for _, text in vectors)
            return f"polynomial in {unknowns}: coefficients {listed}"
        order = len(one.indices)
        if [at for at, _ in vectors] == [(1,)]:
            return f"{order}-jet along {vectors[0][1]}"
        return f"{order}-jet, " + ", ".join(f"v{at[0]} = {text}" for at, text in vectors)

    def reading(self, reading: Reading) -> dict[str, Any]:
        terms = [(c, self.coefficient(number, index)) for c, number, index in reading.terms]
        return {
            "derivative": self.name(reading.derivative),
            "index": list(reading.derivative),
            "text": _over_one_denominator(terms),
            "by_subtraction": self.by_subtraction(reading),
            "terms": [
                {
                    "fraction": str(fraction),
                    "push": number,
                    "index": list(index),
                    "coefficient": self.coefficient(number, index),
                    "lands": [
                        {
                            "partition": [list(part) for part in partition],
                            "prefactor": factor,
                            "derivative": self.name(q),
                        }
                        for partition, factor, q in partitions_onto(self.plan.pushes[number], index)
                    ],
                }
                for fraction, number, index in reading.terms
            ],
        }

    def by_subtraction(self, reading: Reading) -> str | None:
        """(A9 - 280 u_yyy)/1260, where one coefficient holds all of the derivative."""
        for fraction, number, index in reversed(reading.terms):
            row = dict(self.contents[number][index])
            prefactor = row.pop(reading.derivative, 0)
            if row and fraction * prefactor == 1:
                rest = [(Fraction(-factor), self.name(q)) for q, factor in row.items()]
                terms = [(Fraction(1), self.coefficient(number, index)), *rest]
                return f"({_sum(terms)})/{prefactor}" if prefactor != 1 else _sum(terms)
        return None


def _size(one: Plan) -> dict[str, Any]:
    return {
        "pushes": len(one.pushes),
        "coefficients": sum(len(push.indices) for push in one.pushes),
        "products": sum(push.products for push in one.pushes),
        "cost": one.cost,
    }


def _warnings(worst: dict[str, float]) -> list[str]:
    single, double = worst.get("float32", 0.0), worst.get("float64", 0.0)
    if double > UNSAFE:
        return [
            f"expected relative error {double:.0e} even at float64; allow --families multivariate"
        ]
    if single > UNSAFE:
        return [f"expected relative error {single:.0e} at float32; set runtime.precision=float64"]
    return []


# Words.


def _title(node: Derivative) -> str:
    match node:
        case Polyharmonic(order=order) if order > 2:
            return f"polyharmonic(u, {order})"
        case Laplacian() | Polyharmonic() | GradNorm2():
            return f"{node.name}(u)"
    return node.name


def _words(node: Derivative) -> str:
    """How the estimator reads an operator; r is estimator.batch."""
    match node:
        case Laplacian() | SumOfPartials(fixed=(), coefficient=Number(1)) if _is_trace(node):
            return "r random directions, one collapsed 2-jet, r + 2 coefficients a layer"
        case Polyharmonic(order=times):
            twos = (2,) * times
            pairings = math.prod(range(1, 2 * times, 2))
            sets = "pairs" if times == 2 else f"sets of {times}"
            return (
                f"r {sets} of random directions, a polynomial each, coefficient {twos}, "
                f"{3**times - 1} coefficients a layer each; with estimator/sampler=gaussian "
                f"r directions, a {2 * times}-jet each, coefficient {2 * times} over {pairings}"
            )
        case GradNorm2():
            return "r random directions, a 1-jet each, squared: r coefficients a layer"
        case Drift():
            return "one 1-jet along the vector, 1 coefficient a layer; nothing is sampled"
        case SumOfPartials(targets=targets, fixed=fixed, indices=indices):
            powers = (*(t.order for t in targets), *Counter(fixed).values())
            if powers == (1,):
                return "one 1-jet along r sampled directions together, 1 coefficient a layer"
            count = math.prod(power + 1 for power in powers) - 1
            sets = "random coordinates" if len(indices) == 1 else f"sets of {len(indices)} of them"
            kind = "a polynomial" if len(powers) > 1 else f"a {powers[0]}-jet"
            at = powers if len(powers) > 1 else powers[0]
            return f"r {sets}, {kind} each, coefficient {at}, {count} coefficients a layer each"
    return "estimated from random directions"


def _is_trace(node: Derivative) -> bool:
    return isinstance(node, Laplacian) or (
        isinstance(node, SumOfPartials) and [t.order for t in node.targets] == [2]
    )


def _letter(number: int) -> str:
    """A, B ... Z, AA, AB ..."""
    return (_letter(number // 26 - 1) if number >= 26 else "") + chr(ord("A") + number % 26)


def _vector(entries: Sequence[int], labels: Sequence[str]) -> str:
    pairs = zip(entries, labels, strict=True)
    return _sum([(Fraction(entry), label) for entry, label in pairs if entry], times="")


def _sum(terms: Sequence[tuple[Fraction, str]], times: str = " ") -> str:
    """2 A4 - B4, from factors and names."""
    text = ""
    for factor, name in terms:
        sign = ("-" if factor < 0 else "") if not text else (" - " if factor < 0 else " + ")
        size = abs(factor)
        text += sign + (name if size == 1 else f"{size}{times}{name}")
    return text


def _over_one_denominator(terms: Sequence[tuple[Fraction, str]]) -> str:
    """(A4 - B4 + 2 C4)/48."""
    below = math.lcm(*(fraction.denominator for fraction, _ in terms))
    above = _sum([(fraction * below, name) for fraction, name in terms])
    if below == 1:
        return above
    return f"({above})/{below}" if len(terms) > 1 else f"{above}/{below}"


def _partition(parts: Sequence[Sequence[int]]) -> str:
    """2+2+2+3; equal parts as 8 x 1 where there are many."""
    if len(parts) <= 5:
        return "+".join(str(part[0]) for part in parts)
    counts = Counter(part[0] for part in parts)
    return " + ".join(f"{n} x {part}" if n > 1 else f"{part}" for part, n in counts.items())


# The terminal.


def show(found: dict[str, Any]) -> None:
    """Print a report: within the width of a terminal, and on whole lines into a pipe."""
    wide = None if sys.stdout.isatty() else 10_000
    console = Console(highlight=False, markup=False, emoji=False, width=wide)
    console.print(found["expression"], style="bold")
    console.print(f"coordinates {', '.join(found['coordinates'])}", style="dim")
    tables = []
    if found["plan"]:
        tables += [_pushes(found["plan"]), *_landings(found["plan"]), _readings(found["plan"])]
        tables += [_costs(found)]
    if found["sampled"]:
        rows = [(item["derivative"], item["how"]) for item in found["sampled"]]
        tables.append(_table("Not planned; r is estimator.batch", ("", ""), rows))
    for table in tables:
        console.print()
        console.print(table)
    for warning in found["warnings"]:
        console.print()
        console.print(f"warning: {warning}", style="yellow")


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A heading that begins with ">" has its column flush right."""
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False,
        padding=(0, 2, 0, 0), header_style="dim", show_header=any(headings),
    )  # fmt: skip
    for heading in headings:
        right = heading.startswith(">")
        table.add_column(
            heading.removeprefix(">"), justify="right" if right else "left", overflow="fold",
            no_wrap=right,
        )  # fmt: skip
    for row in rows:
        table.add_row(*row)
    return table


def _pushes(planned: dict[str, Any]) -> Table:
    rows = [
        (p["name"], str(p["order"]), str(p["coefficients"]), f"{p['products']:,}",
         f"{p['cost']:.1f}", p["what"])
        for p in planned["pushes"]
    ]  # fmt: skip
    return _table(
        "Pushes", ("", ">order", ">coefficients", ">products", ">cost", "Taylor polynomial"), rows
    )


def _landings(planned: dict[str, Any]) -> list[Table]:
    """What lands on the coefficients of jets that are read."""
    rows = []
    terms = (term for reading in planned["readings"] for term in reading["terms"])
    for name, term in sorted({t["coefficient"]: t for t in terms if len(t["index"]) == 1}.items()):
        landing: dict[str, list] = {}
        for one in term["lands"]:
            pair = Fraction(one["prefactor"]), one["derivative"]
            landing.setdefault(_partition(one["partition"]), []).append(pair)
        for number, (partition, pairs) in enumerate(landing.items()):
            rows.append(("" if number else name, partition, _sum(pairs)))
    heading = ("coefficient", "partition", "holds")
    return [_table("What lands on a coefficient", heading, rows)] if rows else []


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
    title = "Readings, and the relative errors to expect"
    if not planned["relative_error"]:
        title = "Readings (errors not measured: the plan is large)"
    return _table(title, ("derivative", "read as", ">float32", ">float64"), rows)


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
    return _table("Costs", ("plan", ">cost", ">pushes", ">coefficients", ">products", ""), rows)
