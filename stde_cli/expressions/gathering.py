"""Explicit terms that are alike, made one sum.

sin(x3*x7) + 2*sin(x1*x4) + ... becomes sum(i, w[i]*sin(x[p[i]]*x[q[i]])), with lists w, p, q of its
own: what is compiled grows with the kinds of terms, not with their number.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

import numpy as np

from stde_cli.expressions.algebra import ONE, add, multiply, rebuild, sum_over
from stde_cli.expressions.layout import Layout
from stde_cli.expressions.nodes import (
    Add,
    Coordinate,
    Entry,
    Extreme,
    IndexList,
    Multiply,
    Node,
    Number,
    Parameter,
    Place,
    Power,
    Sum,
    contains,
)

_FEWEST = 4
"""Terms that are alike are gathered from here on."""

Slot: TypeAlias = Coordinate | Number | Place
"""What may differ between terms that are alike."""


class _Term(NamedTuple):
    """weight * rest, and what fills the slots of `rest`."""

    whole: Node
    weight: Number
    rest: Node
    slots: list[Slot]


class Gathered(NamedTuple):
    node: Node
    layout: Layout
    """Numbers all entries of a point as one family where the text has none."""
    lists: dict[str, np.ndarray]
    """New parameters; no text can name them."""


def gather(node: Node, layout: Layout) -> Gathered:
    """The same value, with the terms of long sums gathered by their kind."""
    if layout.family is None:
        layout = Layout((("x", layout.dim),))
    gatherer = _Gatherer(layout)
    return Gathered(gatherer.gather(node), layout, gatherer.lists)


@dataclass
class _Gatherer:
    layout: Layout
    lists: dict[str, np.ndarray] = field(default_factory=dict)
    names: dict[tuple, str] = field(default_factory=dict)
    sums: int = 0

    def gather(self, node: Node) -> Node:
        if isinstance(node, Sum | Extreme) or not node.children:
            return node
        node = rebuild(node, self.gather)
        if not isinstance(node, Add) or len(node.terms) < _FEWEST:
            return node
        alike: dict[Hashable, list[_Term]] = {}
        for term in node.terms:
            weight, rest = _weight(term)
            slots: list[Slot] = []
            kind = self.kind(rest, slots)
            alike.setdefault(kind, []).append(_Term(term, weight, rest, slots))
        found: list[Node] = []
        for terms in alike.values():
            if len(terms) >= _FEWEST and contains(terms[0].rest, Coordinate):
                found.append(self.together(terms))
            else:
                found += [term.whole for term in terms]
        return add(found)

    def kind(self, node: Node, slots: list[Slot]) -> Hashable:
        """What a node has in common with those that are alike; what it has not goes to `slots`."""
        match node:
            case Coordinate(position) if position in self.layout.family_range:
                slots.append(node)
                return Coordinate
            case Number():
                slots.append(node)
                return Number
            case Parameter(name, places) if all(place.index is None for place in places):
                slots += places
                return Parameter, name
            case Power(base, exponent):
                # Whole powers are products: the number counts.
                return Power, self.kind(base, slots), exponent
            case Sum() | Extreme() | Entry() | Coordinate() | Parameter():
                return node
        name = getattr(node, "name", None)
        return type(node), name, tuple(self.kind(child, slots) for child in node.children)

    def together(self, terms: Sequence["_Term"]) -> Node:
        """The sum of terms that are alike."""
        self.sums += 1
        lane = f"#{self.sums}"
        columns = zip(*(term.slots for term in terms), strict=True)
        filled = iter([self.column(lane, column) for column in columns])
        weight = _node(self.column(lane, [term.weight for term in terms]))
        body = multiply((weight, self.fill(terms[0].rest, lambda: next(filled))))
        return sum_over(lane, (0, len(terms)), body)

    def column(self, lane: str, column: Sequence[Slot]) -> Node | Place:
        """What stands in one slot of all terms."""
        first = column[0]
        if all(slot == first for slot in column):
            return first
        if isinstance(first, Number):
            values = tuple(slot.value for slot in column if isinstance(slot, Number))
            return Parameter(self.name(values, float), (Place(lane, 0),), column=first.column)
        start = self.layout.family_range.start
        numbers = tuple(
            slot.position - start if isinstance(slot, Coordinate) else slot.offset
            for slot in column
            if not isinstance(slot, Number)
        )
        through = IndexList(self.name(numbers, int), len(set(numbers)) == len(numbers))
        if isinstance(first, Coordinate):
            return Entry(lane, 0, self.layout.family or "", through, column=first.column)
        return Place(lane, 0, through)

    def name(self, values: tuple, kind: type) -> str:
        """The parameter that lists the values; numbers of entries are listed from 1."""
        if (kind, values) not in self.names:
            name = self.names[kind, values] = f"#{len(self.lists)}"
            self.lists[name] = np.array(values, kind) + (kind is int)
        return self.names[kind, values]

    def fill(self, node: Node, slot: Callable[[], Node | Place]) -> Node:
        """`node` with what is in the columns for its slots, in the order of `kind`."""
        match node:
            case Coordinate(position) if position in self.layout.family_range:
                return _node(slot())
            case Number():
                return _node(slot())
            case Parameter(places=places) if all(place.index is None for place in places):
                return replace(node, places=tuple(_place(slot()) for _ in places))
            case Power(base, exponent):
                return replace(node, base=self.fill(base, slot), exponent=exponent)
            case Sum() | Extreme() | Entry() | Coordinate() | Parameter():
                return node
        return rebuild(node, lambda part: self.fill(part, slot))


def _weight(term: Node) -> tuple[Number, Node]:
    """(w, a) with term = w * a."""
    if isinstance(term, Multiply) and isinstance(term.factors[0], Number):
        return term.factors[0], multiply(term.factors[1:])
    return ONE, term


def _node(found: Node | Place) -> Node:
    assert isinstance(found, Node)
    return found


def _place(found: Node | Place) -> Place:
    assert isinstance(found, Place)
    return found
