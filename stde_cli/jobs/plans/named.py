"""A plan as data, with the names of everything in it."""

import math
from collections.abc import Collection, Sequence
from fractions import Fraction
from typing import Any

from stde_cli.autodiff.taylor.partitions import Index
from stde_cli.autodiff.taylor.planner import FAMILIES, Family
from stde_cli.autodiff.taylor.planner import plan as cheapest_plan
from stde_cli.autodiff.taylor.precision import MOST_PRODUCTS, relative_errors
from stde_cli.autodiff.taylor.pushes import Plan, Push, Reading, partitions_onto
from stde_cli.expressions import Layout
from stde_cli.expressions.algebra import partial

UNSAFE = 1e-2
"""The relative error from which on a plan is warned of."""

_WIDEST = 64
"""Partials of more partials below them are not searched for jets: that takes from seconds on."""

_LISTED = 10
"""Coefficients of a polynomial that are named on the terminal."""


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
        """The plan, what it costs and loses, and what else `families` could have done."""
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
                text = combination(terms)
                return f"({text})/{prefactor}" if prefactor != 1 else text
        return None


def _size(one: Plan) -> dict[str, Any]:
    return {
        "pushes": len(one.pushes),
        "coefficients": sum(len(push.indices) for push in one.pushes),
        "products": sum(push.products for push in one.pushes),
        "cost": one.cost,
    }


def _letter(number: int) -> str:
    """A, B ... Z, AA, AB ..."""
    return (_letter(number // 26 - 1) if number >= 26 else "") + chr(ord("A") + number % 26)


def _vector(entries: Sequence[int], labels: Sequence[str]) -> str:
    pairs = zip(entries, labels, strict=True)
    return combination([(Fraction(entry), label) for entry, label in pairs if entry], times="")


def _warnings(worst: dict[str, float]) -> list[str]:
    single, double = worst.get("float32", 0.0), worst.get("float64", 0.0)
    if double > UNSAFE:
        return [
            f"expected relative error {double:.0e} even at float64; allow --families multivariate"
        ]
    if single > UNSAFE:
        return [f"expected relative error {single:.0e} at float32; set runtime.precision=float64"]
    return []


def combination(terms: Sequence[tuple[Fraction, str]], times: str = " ") -> str:
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
    above = combination([(fraction * below, name) for fraction, name in positive_first])
    if below == 1:
        return above
    return f"({above})/{below}" if len(terms) > 1 else f"{above}/{below}"
