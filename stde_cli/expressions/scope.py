"""What a name stands for: coordinates, parameters, u, f, and the indices that sums bind.

A vector is read as what stands at one index of it, the lane: `x*b` is `x[i]*b[i]`, so that
dot(a, b) is sum(i, a*b).
"""

import ast
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from stde_cli.expressions.algebra import coordinate, partial
from stde_cli.expressions.faults import nearest
from stde_cli.expressions.layout import FUNCTIONS, OPERATORS, Layout, is_reserved
from stde_cli.expressions.nodes import (
    Bounds,
    Entry,
    IndexList,
    Node,
    Number,
    Parameter,
    Place,
    Source,
    Unknown,
)
from stde_cli.expressions.syntax import Text
from stde_cli.system.errors import UsageError

_LANES = "ijklmnopqrsvwyz"
"""Bound indices by depth."""


def check_parameters(parameters: Mapping[str, Any], layout: Layout) -> None:
    """Refuse a parameter whose name cannot be used, or that has too many axes.

    Raises:
        UsageError: a name is no name, reserved or a coordinate's, or a value has three axes.
    """
    for name, value in parameters.items():
        _check_parameter(name, value, layout)


def _check_parameter(name: str, value: Any, layout: Layout) -> None:
    where = f"parameters.{name}"
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name, re.ASCII):
        raise UsageError(where, None, "is no name", "use letters, digits and _")
    if is_reserved(name):
        raise UsageError(where, None, "the name is reserved", "take another")
    family = layout.family
    if name in layout.names or (family and re.fullmatch(rf"{family}\d*", name)):
        raise UsageError(where, None, "the name is a coordinate's", "take another")
    if np.ndim(value) > 2:
        raise UsageError(where, None, "has more than two axes", "give a number, vector or matrix")


@dataclass(frozen=True)
class Vector:
    """One entry, at the current lane, of a vector of `length` entries."""

    body: Node
    length: int


@dataclass
class Range:
    """A bound index, and the numbers that everything read at it allows so far."""

    lane: str
    used: list[tuple[str, int, int]] = field(default_factory=list)
    """What is read at it: a name, its number of entries, and the offset."""

    @property
    def bounds(self) -> Bounds:
        return (
            max(-offset for _, _, offset in self.used),
            min(length - offset for _, length, offset in self.used),
        )


class Scope:
    """What names stand for at the place of the text that is being read.

    Args:
        text: the expression, for faults.
        layout: what the point's entries are called.
        parameters: numbers, vectors and matrices by name; but for index lists, which must be
            concrete, only their shapes matter here.
        allow: "u" where the unknown and its derivatives may occur, "f" where the source may.

    Attributes:
        shapes: those of the parameters, by name.
        indices: what the sums around this place bind.
        index_lists: the parameters that have been read as lists of indices so far.
    """

    def __init__(
        self, text: Text, layout: Layout, parameters: Mapping[str, Any], allow: frozenset[str]
    ):
        self.layout, self.allow = layout, allow
        self.fault, self.column = text.fault, text.column
        self.shapes = {name: np.shape(value) for name, value in parameters.items()}
        self.indices: dict[str, Range] = {}
        self.index_lists = set[str]()
        self._parameters = parameters
        self._lanes: list[str] = []
        self._bound = 0

    # Names.

    def name(self, tree: ast.Name) -> Node | Vector:
        """What a name by itself stands for."""
        name, column = tree.id, self.column(tree)
        if name in self.indices:
            why = "an index is no number"
            raise self.fault(tree, why, f"use it as in {self.layout.family or 'c'}[{name}]")
        if name == "pi":
            return Number(math.pi, column=column)
        if name == "u" or name.startswith("u_"):
            return self._unknown(tree)
        if name == "f":
            if "f" not in self.allow:
                raise self.fault(tree, "the source f cannot be used here")
            return Source(column=column)
        if name in self.layout.names:
            return coordinate(self.layout.names[name], self.layout, column)
        family, count = self.layout.family, len(self.layout.family_range)
        if family and name == family:
            return Vector(Entry(self.lane, 0, family, column=column), count)
        if family and (match := re.fullmatch(rf"{family}(\d+)", name)):
            return self._entry(tree, match[1])
        if name in self.shapes:
            return self._parameter(tree)
        if name in FUNCTIONS or name in OPERATORS:
            raise self.fault(tree, f"{name} is a function", f"write {name}(...)")
        raise self.fault(tree, f"the name {name} is not known", nearest(name, self.known()))

    def known(self) -> set[str]:
        """The names that stand for a number or a vector."""
        names = {*self.layout.names, *self.shapes, "pi", *self.allow}
        return names | {self.layout.family} if self.layout.family else names

    def _parameter(self, tree: ast.Name) -> Node | Vector:
        name, shape = tree.id, self.shapes[tree.id]
        if not shape:
            return Parameter(name, column=self.column(tree))
        if len(shape) == 2:
            raise self.fault(
                tree, f"the matrix {name} stands alone", f"write {name} @ v or {name}[i, j]"
            )
        node = Parameter(name, (Place(self.lane, 0),), column=self.column(tree))
        return Vector(node, shape[0])

    def _entry(self, tree: ast.AST, digits: str) -> Node:
        """The family's entry with this number."""
        family, count = self.layout.family or "", len(self.layout.family_range)
        if len(digits) > 12 or not 1 <= int(digits) <= count:
            why = f"{family} has no entry {digits[:12]}"
            raise self.fault(tree, why, f"its entries are numbered 1 to {count}")
        position = self.layout.index(family, int(digits))
        return coordinate(position, self.layout, self.column(tree))

    def _unknown(self, tree: ast.Name) -> Node:
        self.need_u(tree)
        if tree.id == "u":
            return Unknown(column=self.column(tree))
        readings = self.layout.readings(tree.id.removeprefix("u_"))
        if len(readings) > 1:
            why = f"{tree.id[:40]} {self.layout.ambiguity(readings)}"
            raise self.fault(tree, why, "write the one that is meant")
        if not readings:
            why = f"{tree.id} is no partial derivative"
            some = ", ".join(self.layout.label(k) for k in range(min(6, self.layout.dim)))
            raise self.fault(tree, why, f"after u_ write coordinates: {some}")
        return partial(readings[0], self.layout, self.column(tree))

    def need_u(self, tree: ast.AST) -> None:
        """Refuse u, or a derivative of it, where it may not occur."""
        if "u" not in self.allow:
            why = "the unknown u cannot be used here"
            raise self.fault(tree, why, "write it in coordinates and parameters")

    def need_space(self, tree: ast.AST) -> None:
        """Refuse what differentiates in all coordinates but t, where there are none."""
        if not self.layout.space:
            raise self.fault(tree, "there is no coordinate but t to differentiate in")

    # Entries of vectors and matrices.

    def subscript(self, tree: ast.Subscript) -> Node:
        """What a name with numbers or indices in [ ] stands for."""
        if not isinstance(tree.value, ast.Name):
            raise self.fault(tree, "only names can be followed by [ ]")
        name = tree.value.id
        places = tree.slice.elts if isinstance(tree.slice, ast.Tuple) else [tree.slice]
        if name == self.layout.family:
            lengths: tuple[int, ...] = (len(self.layout.family_range),)
        elif self.shapes.get(name):
            lengths = self.shapes[name]
        elif name in self.shapes or name in self.layout.names or name == "u":
            raise self.fault(tree, f"{name} is one number, it has no entries")
        else:
            vectors = [n for n, shape in self.shapes.items() if shape]
            vectors += [self.layout.family] if self.layout.family else []
            raise self.fault(tree, f"the vector {name} is not known", nearest(name, vectors))
        if len(places) != len(lengths):
            raise self.fault(tree, f"{name} takes {len(lengths)} numbers in [ ], not {len(places)}")
        read = tuple(self._place(p, name, n) for p, n in zip(places, lengths, strict=True))
        column = self.column(tree)
        if name != self.layout.family:
            return Parameter(name, read, column=column)
        index, offset, through = read[0].index, read[0].offset, read[0].through
        if index is None:
            return self._entry(tree, str(offset + 1))
        return Entry(index, offset, name, through, column=column)

    def _through(self, tree: ast.Subscript, name: str, length: int) -> Place:
        """The place that an index list gives: p[i] of x[p[i]]."""
        listed = tree.value
        if not isinstance(listed, ast.Name) or len(self.shapes.get(listed.id, ())) != 1:
            why = "only a list of whole numbers can stand before [ ] within [ ]"
            raise self.fault(tree, why, "give it as a parameter p, and write x[p[i]]")
        numbers = np.asarray(self._parameters[listed.id])
        if numbers.dtype.kind not in "iu":
            why = f"{listed.id} must hold whole numbers alone to stand within [ ]"
            raise self.fault(tree, why, f"give numbers from 1 to {length}")
        wrong = numbers[(numbers < 1) | (numbers > length)]
        if wrong.size:
            why = f"{listed.id} holds {wrong[0]}, and {name} has no entry {wrong[0]}"
            raise self.fault(tree, why, f"its entries are numbered 1 to {length}")
        self.index_lists.add(listed.id)
        place = self._place(tree.slice, listed.id, numbers.size)
        if place.through:
            raise self.fault(tree.slice, "an index list cannot be read through another")
        if place.index is None:
            return Place(None, int(numbers[place.offset]) - 1)
        return replace(place, through=IndexList(listed.id, np.unique(numbers).size == numbers.size))

    def _place(self, tree: ast.expr, name: str, length: int) -> Place:
        """A number, or an index that a sum binds, plus or minus a number."""
        match tree:
            case ast.Constant(value=int(number)) if not isinstance(number, bool):
                if not 1 <= number <= length:
                    why = f"{name} has no entry {number if number < 10**12 else 'that large'}"
                    raise self.fault(tree, why, f"its entries are numbered 1 to {length}")
                return Place(None, number - 1)
            case ast.Name(id=index):
                return self._indexed(tree, index, 0, name, length)
            case ast.Subscript():
                return self._through(tree, name, length)
            case ast.BinOp(
                left=ast.Name(id=index),
                op=ast.Add() | ast.Sub() as op,
                right=ast.Constant(value=int(number)),
            ) if not isinstance(number, bool):
                offset = number if isinstance(op, ast.Add) else -number
                return self._indexed(tree, index, offset, name, length)
        raise self.fault(
            tree,
            "only a number or index ± number can stand in [ ]",
            "write x[3], x[i+1] or x[p[i]]",
        )

    def _indexed(self, tree: ast.expr, index: str, offset: int, name: str, length: int) -> Place:
        if index not in self.indices:
            mend = nearest(index, self.indices) if self.indices else f"write sum({index}, ...)"
            raise self.fault(tree, f"the index {index} belongs to no sum", mend)
        if abs(offset) >= length:
            raise self.fault(tree, f"the offset is too large: {name} has {length} entries")
        self.indices[index].used.append((name, length, offset))
        return Place(self.indices[index].lane, offset)

    # Indices and lanes.

    @property
    def lane(self) -> str:
        """The index at which a vector is read here."""
        return self._lanes[-1] if self._lanes else _LANES[self._bound]

    @contextmanager
    def index(self, name: str) -> Iterator[Range]:
        """A sum over `name`: within, the name is an index."""
        bound = self.indices[name] = Range(self._bind())
        try:
            yield bound
        finally:
            del self.indices[name]
            self._bound -= 1

    @contextmanager
    def fresh_lane(self) -> Iterator[str]:
        """Vectors read within are read at an index of their own."""
        lane = self._bind()
        self._lanes.append(lane)
        try:
            yield lane
        finally:
            self._lanes.pop()
            self._bound -= 1

    def _bind(self) -> str:
        # A lane that is read outside any operator takes the name of the next index: none is
        # bound twice, since that vector is refused in the end.
        if self._bound >= len(_LANES) - 1:
            raise self.fault(0, "too many sums within each other")
        self._bound += 1
        return _LANES[self._bound - 1]
