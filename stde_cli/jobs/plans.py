"""How the derivatives in an expression are computed, as data and on the terminal."""

import math
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import product
from typing import Any

from rich.console import Console
from rich.table import Table

from stde_cli.autodiff.taylor.planner import (
    FAMILIES,
    HIGHEST_ORDER,
    Family,
    Index,
    Plan,
    Push,
    Reading,
    partitions_onto,
)
from stde_cli.autodiff.taylor.planner import plan as cheapest_plan
from stde_cli.autodiff.taylor.precision import MOST_PRODUCTS, relative_errors
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
    parse,
)
from stde_cli.expressions.algebra import partial
from stde_cli.expressions.layout import Part
from stde_cli.expressions.nodes import Number
from stde_cli.system.errors import UsageError

UNSAFE = 1e-2
"""The relative error from which on a plan is warned of."""

_WIDEST = 64
"""Partials of more partials below them are not searched for jets: that takes from seconds on."""

_LISTED = 10
"""Coefficients of a polynomial that are named on the terminal."""


_NUMBERED = 10
"""How many entries a family of coordinates is given, where the text names none above."""

_OVER_ALL = {"laplacian", "biharmonic", "polyharmonic", "grad_norm2", "grad"}


class PlanReport(dict[str, Any]):
    """All that is said of a plan, in numbers, texts, lists and dictionaries: it can be made JSON.

    It is shown as tables.
    """

    def __repr__(self) -> str:
        return "\n".join(_lines(self))


def plan(
    expression: str,
    *,
    coordinates: Sequence[str] | None = None,
    families: Sequence[str] | None = None,
) -> PlanReport:
    """How the derivatives in an expression are computed, at what cost and accuracy.

    Args:
        expression: in u and its derivatives, as a residual is written.
        coordinates: their names in order; by default those in the text, t first.
        families: what the plan may use, of "positions", "polarisation" and "multivariate"; all by
            default.

    Raises:
        UsageError: the text is no expression, or has nothing to plan with `families`.

    Example:
        >>> import stde_cli as stde
        >>> found = stde.plan("u_ty + u_xxxy")
        >>> found["coordinates"], found["plan"]["pushes"][0]["order"]
        (['t', 'x', 'y'], 4)
        >>> print(found)
        u_ty + u_xxxy
        coordinates t, x, y
        ...
    """
    text = expression.strip()
    if not text:
        raise UsageError("expression", None, "it is empty", "write u_xx, say")
    wanted = list(FAMILIES) if families is None else families
    for family in wanted:
        if family not in FAMILIES:
            mend = f"one or more of {','.join(FAMILIES)}"
            raise UsageError("families", family, "no such family", mend)
    layout = _layout(text, coordinates)
    node = parse(text, layout, {}, where="expression", allow=frozenset({"u", "f"}))
    exact, sampled = exact_and_sampled(node, layout)
    if not exact and not sampled:
        raise UsageError("expression", text, "there is no derivative of u in it", "write u_xx, say")
    for found in exact:
        if (order := len(found.coordinates)) > HIGHEST_ORDER:
            why = f"{found.name} is of order {order}"
            mend = f"plans are made up to order {HIGHEST_ORDER}"
            raise UsageError("expression", None, why, mend)
    try:
        return report(text, layout, exact, sampled, [f for f in FAMILIES if f in wanted])
    except ValueError as error:
        raise UsageError("families", ",".join(wanted), str(error)) from error


def _layout(text: str, given: Sequence[str] | None) -> Layout:
    """The coordinates that are given, or else those that the text names.

    Names are a letter and perhaps digits. A letter that is indexed, as in x[i], stands for a
    family of numbered coordinates; so does x where an operator over all coordinates has none.
    """
    after_u = {name for part in re.findall(r"\bu_(\w+)", text) for name in _letters(part)}
    alone = set(re.findall(r"(?<![\w.])[A-Za-z]\d*(?![\w(\[.])", text)) - {"u", "f"}
    alone -= set(re.findall(r"\bsum\(\s*(\w+)", text))
    named = set(given) if given is not None else after_u | alone
    family = next(iter(re.findall(r"\b([A-Za-z])\[", text)), None)
    over_all = set(re.findall(r"[a-z_0-9]+(?=\()", text)) & _OVER_ALL
    if family is None and over_all and not (set(given or after_u) - {"t"}):
        family = "x"
    if family is None:
        names = given if given is not None else sorted(named, key=_order)
        return Layout(tuple(names or ["x"]))
    numbers = [int(n) for n in re.findall(rf"{family}(\d{{1,4}})(?!\d)", text)]
    single = [n for n in given or sorted(named, key=_order) if not re.match(rf"{family}\d*$", n)]
    parts: list[Part] = [*single, (family, max([_NUMBERED, *numbers]))]
    return Layout(tuple(parts))


def _letters(text: str) -> list[str]:
    return re.findall(r"[A-Za-z]\d*", text)


def _order(name: str) -> tuple[bool, str, int]:
    """t first, then alphabetically, x2 before x10."""
    return name != "t", name[0], int(name[1:] or 0)


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
) -> PlanReport:
    """Everything about the cheapest plan for `exact`, and how `sampled` is read.

    Raises:
        ValueError: the planner cannot plan `exact` with `families`.
    """
    found: dict[str, Any] = {
        "expression": expression,
        "coordinates": [
            p if isinstance(p, str) else f"{p[0]}1..{p[0]}{p[1]}" for p in layout.parts
        ],
        "families": list(families),
        "sampled": [{"derivative": _title(node), "how": _words(node)} for node in sampled],
        "plan": None,
        "warnings": [],
    }
    if not exact:
        return PlanReport(found)
    moved = sorted({c for node in exact for c in node.coordinates})
    wanted = [tuple(node.coordinates.count(c) for c in moved) for node in exact]
    named = NamedPlan(layout, moved, cheapest_plan(wanted, families))
    return PlanReport(found | named.report(families))


class NamedPlan:
    """A plan, and the names of everything in it.

    Args:
        layout: the names of coordinates.
        moved: positions of the coordinates that the plan's multi-indices count.
        chosen: the plan.
    """

    def __init__(self, layout: Layout, moved: Sequence[int], chosen: Plan):
        self.layout, self.moved, self.plan = layout, moved, chosen
        self.letters = [_letter(number) for number in range(len(chosen.pushes))]
        self.contents = [push.contents() for push in chosen.pushes]
        self.derivatives = [reading.derivative for reading in chosen.readings]

    def report(self, families: Collection[Family]) -> dict[str, Any]:
        small = sum(push.products for push in self.plan.pushes) <= MOST_PRODUCTS
        errors = relative_errors(self.plan) if small else {}
        alone = {q: cheapest_plan([q], families) for q in self.derivatives}
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
        widest = max(math.prod(n + 1 for n in q) for q in self.derivatives)
        if family != "multivariate" and widest > _WIDEST:
            return {"why": "not searched: too wide"}
        try:
            return _size(cheapest_plan(self.derivatives, [family]))
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
        case Laplacian():
            return _TRACE
        case Polyharmonic(order=times):
            pairings = math.prod(range(1, 2 * times, 2))
            return (
                f"{_sets(times, 'directions')}; {_pushed([2] * times)}. With "
                f"estimator/sampler=gaussian r directions; "
                f"{_pushed([2 * times])} and divided by {pairings}"
            )
        case GradNorm2():
            return "r random directions; a 1-jet each, squared: r coefficients a layer"
        case Drift():
            return "nothing is sampled; one 1-jet along the vector: 1 coefficient a layer"
        case SumOfPartials(targets=targets, fixed=fixed, indices=indices):
            powers = [*(target.order for target in targets), *Counter(fixed).values()]
            if powers == [1]:
                return "r random coordinates; one 1-jet along all of them: 1 coefficient a layer"
            if powers == [2] and node.coefficient == Number(1):
                return _TRACE
            return f"{_sets(len(indices), 'coordinates')}; {_pushed(powers)}"
    return "random directions"


_TRACE = "r random directions; one collapsed 2-jet: r + 2 coefficients a layer"


def _sets(size: int, what: str) -> str:
    of = {1: "", 2: "pairs of "}.get(size, f"sets of {size} ")
    return f"r {of}random {what}"


def _pushed(powers: Sequence[int]) -> str:
    """What is pushed for one set of directions."""
    if len(powers) == 1:
        return f"each a {powers[0]}-jet, coefficient {powers[0]} read"
    count = math.prod(power + 1 for power in powers) - 1
    index = f"({','.join(map(str, powers))})"
    return f"each a polynomial of {count} coefficients a layer, coefficient {index} read"


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
    positive_first = sorted(terms, key=lambda term: term[0] < 0)
    above = _sum([(fraction * below, name) for fraction, name in positive_first])
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


def _lines(found: dict[str, Any]) -> Iterator[str]:
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
            rows.append(("" if number else term["coefficient"], partition, _sum(pairs)))
    return _table(("coefficient", "partition", "holds"), rows)


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
