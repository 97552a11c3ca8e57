"""From text to an expression.

Python's own grammar reads the text; only the kinds of syntax listed in `_Reader` are let through,
and nothing is ever evaluated. A vector is read as what stands at one index of it, the lane: `x*b`
is `x[i]*b[i]`, so that dot(a, b) is sum(i, a*b).
"""

import ast
import difflib
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from stde_cli.expressions.algebra import (
    ONE,
    Refused,
    add,
    call,
    coordinate,
    differentiate,
    divide,
    multiply,
    negative,
    partial,
    power,
    slope,
    slope_in_u,
    sum_over,
    targets,
)
from stde_cli.expressions.faults import ExpressionError, fault, nearest
from stde_cli.expressions.layout import FUNCTIONS, OPERATORS, Layout, is_reserved
from stde_cli.expressions.nodes import (
    Add,
    Bounds,
    Coordinate,
    Derivative,
    Drift,
    Entry,
    GradientEntry,
    GradNorm2,
    IndexList,
    Laplacian,
    Node,
    Number,
    Parameter,
    Place,
    Polyharmonic,
    Source,
    Sum,
    SumOfPartials,
    Trace,
    Unknown,
    contains,
    free,
)
from stde_cli.system.errors import UsageError

_LONGEST, _DEEPEST, _LARGEST, _MOST_NODES = 10_000, 100, 1e300, 5_000
_LANES = "ijklmnopqrsvwyz"
"""Bound indices by depth."""

_CHAINS = ((ast.Add, ast.Sub), (ast.Mult,))

_LOOKALIKES = {
    "−": "-", "–": "-", "×": "*", "·": "*", "÷": "/", "²": "**2", "³": "**3", "π": "pi",
    "Δ": "laplacian(u)", "∆": "laplacian(u)", "∇": "grad(u)", "√": "sqrt", "’": "",
}  # fmt: skip

_REFUSED_SYNTAX = {
    ast.Attribute: "a dot is not part of the language",
    ast.Lambda: "functions cannot be defined",
    ast.ListComp: "a comprehension is not part of the language",
    ast.GeneratorExp: "a comprehension is not part of the language",
    ast.NamedExpr: "a name cannot be assigned",
    ast.Compare: "a comparison is not part of the language",
    ast.BoolOp: "and, or are not part of the language",
    ast.IfExp: "if is not part of the language",
    ast.Starred: "a star before an argument is not part of the language",
    ast.Tuple: "a comma separates arguments of a function alone",
    ast.List: "a list is not part of the language",
}
_MENDS = {
    ast.Compare: "write max, min or abs; a residual is left minus right",
    ast.IfExp: "write max, min or abs",
    ast.List: "give vectors as parameters",
    ast.GeneratorExp: "write sum(i, ...)",
    ast.Attribute: "write the function's name alone, such as sin(x)",
}


def parse(
    text: str | int | float,
    layout: Layout,
    parameters: Mapping[str, Any],
    *,
    where: str,
    allow: frozenset[str] = frozenset(),
) -> Node:
    """Read an expression.

    Args:
        text: the expression; a number of YAML will do.
        layout: what the point's entries are called.
        parameters: numbers, vectors and matrices by name; but for index lists, which must be
            concrete, only their shapes matter here.
        where: the config key that the text stands at, for messages.
        allow: "u" where the unknown and its derivatives may occur, "f" where the source may.

    Raises:
        ExpressionError: the text is no expression of the language, or uses a name or shape wrongly.
        UsageError: a parameter's name is reserved or taken by a coordinate.
    """
    for name, value in parameters.items():
        _check_parameter(name, value, layout)
    text = as_line(text)
    tree, shift = _syntax_tree(text, where)
    reader = _Reader(text, layout, parameters, where, allow, shift)
    try:
        reader.check_depth(tree)
        return reader.scalar(tree)
    except RecursionError:
        raise fault(text, where, 0, "nested too deeply", "split it up") from None
    except Refused as refused:
        raise fault(text, where, refused.node.column, refused.why, refused.mend) from None


def as_line(text: str | int | float) -> str:
    """The text with a space for each line break, so that columns stay as they are."""
    return re.sub(r"[\n\r\t]", " ", str(text))


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


def _syntax_tree(text: str, where: str) -> tuple[ast.expr, int]:
    """Python's reading of the text, and how many characters it was shifted by."""
    if len(text) > _LONGEST:
        raise fault(text, where, _LONGEST, f"the text is longer than {_LONGEST} characters")
    for column, character in enumerate(text):
        if not character.isascii():
            mend = _LOOKALIKES.get(character)
            mend = f"write {mend}" if mend else "write it in plain ASCII letters"
            raise fault(text, where, column, f"{character!a} is not ASCII", mend)
        if not character.isprintable() or character in "#;\\\"'`$?!{}":
            raise fault(text, where, column, f"{character!r} is not part of the language")
    stripped = text.lstrip()
    shift = len(text) - len(stripped)
    if not stripped:
        raise fault(text, where, 0, "there is no expression", "write 0 for nothing")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(stripped, mode="eval").body, shift
    except SyntaxError as error:
        # Python gives no place, or one before the text, to what ends too early.
        column = min((error.offset or len(stripped) + 1) - 1 + shift, len(text))
        assignment = re.search(r"(?<![=<>:])=(?![=])", text)
        if assignment and "," not in text[: assignment.start()]:
            why, mend = "= is not part of an expression", "write the left side minus the right"
            raise fault(text, where, assignment.start(), why, mend) from None
        if long := re.search(r"\d{1000}", text):
            raise fault(text, where, long.start(), "the number is too long") from None
        digits = re.search(r"(?<![\w.])[\d.]+(?=[A-Za-z(])", stripped)
        mend = "write * between factors" if digits else "check brackets, operators and commas"
        reason = (error.msg or "invalid syntax").split(". ")[0]
        raise fault(text, where, column, f"not an expression ({reason})", mend) from None
    except (RecursionError, MemoryError):
        raise fault(text, where, shift, "nested too deeply, or too long", "split it up") from None
    except ValueError:
        why = "a number is too long or too large"
        raise fault(text, where, shift, why, "write it as 1e100") from None


def _chain(tree: ast.AST) -> tuple[type, ...] | None:
    """The operators that go on at one level where this is one of them."""
    if isinstance(tree, ast.BinOp):
        return next((kinds for kinds in _CHAINS if isinstance(tree.op, kinds)), None)
    return None


@dataclass(frozen=True)
class _Vector:
    """One entry, at the current lane, of a vector of `length` entries."""

    body: Node
    length: int


@dataclass
class _Range:
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


class _Reader:
    """Reads a syntax tree, kind by kind."""

    def __init__(
        self,
        text: str,
        layout: Layout,
        parameters: Mapping[str, Any],
        where: str,
        allow: frozenset[str],
        shift: int,
    ):
        self.text, self.layout, self.where, self.allow = text, layout, where, allow
        self.shapes = {name: np.shape(value) for name, value in parameters.items()}
        self.shift = shift
        self.parameters, self.index_lists = parameters, set[str]()
        self.indices: dict[str, _Range] = {}
        self.lanes: list[str] = []
        self.bound = 0

    # Faults.

    def column(self, tree: ast.AST) -> int:
        return getattr(tree, "col_offset", 0) + self.shift

    def fault(self, tree: ast.AST | int, why: str, mend: str = "") -> ExpressionError:
        column = tree if isinstance(tree, int) else self.column(tree)
        return fault(self.text, self.where, column, why, mend)

    def check_depth(self, tree: ast.expr) -> None:
        """Refuse what is nested too deeply; however many terms or factors are one level."""
        stack = [(tree, 1)]
        while stack:
            node, depth = stack.pop()
            if depth > _DEEPEST:
                raise self.fault(node, f"nested more than {_DEEPEST} deep", "split it up")
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    same = _chain(child) is not None and _chain(child) == _chain(node)
                    stack.append((child, depth if same else depth + 1))

    # Scalars and vectors.

    def scalar(self, tree: ast.expr) -> Node:
        """Read what must be one number."""
        node = self.read(tree)
        if isinstance(node, _Vector):
            raise self.fault(
                tree, "a vector stands where a number must", "write dot(a, b) or sum(i, ...)"
            )
        return node

    def vector(self, tree: ast.expr) -> _Vector:
        """Read what must be a vector."""
        node = self.read(tree)
        if not isinstance(node, _Vector):
            raise self.fault(tree, "a number stands where a vector must")
        return node

    def read(self, tree: ast.expr) -> Node | _Vector:
        match tree:
            case ast.Constant():
                return self.number(tree)
            case ast.Name():
                return self.name(tree)
            case ast.UnaryOp(op=ast.USub()):
                return self.combine(tree, negative, tree.operand)
            case ast.UnaryOp(op=ast.UAdd()):
                return self.read(tree.operand)
            case ast.UnaryOp():
                raise self.fault(tree, "this sign is not part of the language", "write - for minus")
            case ast.BinOp():
                return self.operation(tree)
            case ast.Subscript():
                return self.subscript(tree)
            case ast.Call():
                return self.call(tree)
        why = _REFUSED_SYNTAX.get(type(tree), "this is not part of the language")
        raise self.fault(tree, why, _MENDS.get(type(tree), ""))

    def combine(self, tree: ast.AST, build: Any, *parts: ast.expr | Node | _Vector) -> Any:
        """`build` applied to numbers, or entry by entry where one of the parts is a vector."""
        values = [self.read(part) if isinstance(part, ast.expr) else part for part in parts]
        lengths = {value.length for value in values if isinstance(value, _Vector)}
        if len(lengths) > 1:
            raise self.fault(
                tree, f"vectors of {min(lengths)} and {max(lengths)} entries are combined"
            )
        node = build(*(v.body if isinstance(v, _Vector) else v for v in values))
        return _Vector(node, lengths.pop()) if lengths else node

    def number(self, tree: ast.Constant) -> Node:
        value = tree.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.fault(tree, "this is no number", "only numbers and names can be used")
        if abs(value) > _LARGEST:
            raise self.fault(tree, f"the number is larger than {_LARGEST:g}")
        return Number(float(value) if abs(value) > 2**31 else value, column=self.column(tree))

    def name(self, tree: ast.Name) -> Node | _Vector:
        name, column = tree.id, self.column(tree)
        if name in self.indices:
            why = "an index is no number"
            raise self.fault(tree, why, f"use it as in {self.layout.family or 'c'}[{name}]")
        if name == "pi":
            return Number(math.pi, column=column)
        if name == "u" or name.startswith("u_"):
            return self.unknown(tree)
        if name == "f":
            if "f" not in self.allow:
                raise self.fault(tree, "the source f cannot be used here")
            return Source(column=column)
        if name in self.layout.names:
            return coordinate(self.layout.names[name], self.layout, column)
        family, count = self.layout.family, len(self.layout.family_range)
        if family and name == family:
            return _Vector(Entry(self.lane, 0, family, column=column), count)
        if family and (match := re.fullmatch(rf"{family}(\d+)", name)):
            return self.entry(tree, match[1])
        if name in self.shapes:
            return self.parameter(tree)
        if name in FUNCTIONS or name in OPERATORS:
            raise self.fault(tree, f"{name} is a function", f"write {name}(...)")
        raise self.fault(tree, f"the name {name} is not known", nearest(name, self.known()))

    def known(self) -> set[str]:
        names = {*self.layout.names, *self.shapes, "pi", *self.allow}
        return names | {self.layout.family} if self.layout.family else names

    @property
    def lane(self) -> str:
        return self.lanes[-1] if self.lanes else _LANES[self.bound]

    def parameter(self, tree: ast.Name) -> Node | _Vector:
        name, shape = tree.id, self.shapes[tree.id]
        if not shape:
            return Parameter(name, column=self.column(tree))
        if len(shape) == 2:
            raise self.fault(
                tree, f"the matrix {name} stands alone", f"write {name} @ v or {name}[i, j]"
            )
        node = Parameter(name, (Place(self.lane, 0),), column=self.column(tree))
        return _Vector(node, shape[0])

    def entry(self, tree: ast.AST, digits: str) -> Node:
        """The family's entry with this number."""
        family, count = self.layout.family or "", len(self.layout.family_range)
        if len(digits) > 12 or not 1 <= int(digits) <= count:
            why = f"{family} has no entry {digits[:12]}"
            raise self.fault(tree, why, f"its entries are numbered 1 to {count}")
        position = self.layout.index(family, int(digits))
        return coordinate(position, self.layout, self.column(tree))

    def unknown(self, tree: ast.Name) -> Node:
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
        if "u" not in self.allow:
            why = "the unknown u cannot be used here"
            raise self.fault(tree, why, "write it in coordinates and parameters")

    # Operations.

    def operation(self, tree: ast.BinOp) -> Node | _Vector:
        match tree.op:
            case ast.Add() | ast.Sub() | ast.Mult():
                return self.chain(tree)
            case ast.Div():
                return self.combine(tree, divide, tree.left, tree.right)
            case ast.Pow():
                return self.combine(tree, power, tree.left, tree.right)
            case ast.MatMult():
                return self.matrix_vector(tree)
        column = self.operator_column(tree)
        mends = {
            ast.BitXor: "write ** for powers",
            ast.FloorDiv: "write / to divide",
            ast.Mod: "write the remainder out",
        }
        mend = mends.get(type(tree.op), "write + - * / or **")
        raise self.fault(column, f"{self.text[column]} is not part of the language", mend)

    def operator_column(self, tree: ast.BinOp) -> int:
        column = (tree.left.end_col_offset or 0) + self.shift
        while column < len(self.text) - 1 and self.text[column] in " )":
            column += 1
        return column

    def chain(self, tree: ast.BinOp) -> Node | _Vector:
        """a + b - c ... or a * b * ..., however many, without going deeper at each."""
        parts: list[tuple[ast.expr, bool]] = []
        left: ast.expr = tree
        while isinstance(left, ast.BinOp) and _chain(left) == _chain(tree):
            parts.append((left.right, isinstance(left.op, ast.Sub)))
            left = left.left
        parts = [(left, False), *reversed(parts)]
        build = multiply if isinstance(tree.op, ast.Mult) else add

        def signed(*values: Node) -> Node:
            return build(negative(v) if p[1] else v for v, p in zip(values, parts, strict=True))

        return self.combine(tree, signed, *(part for part, _ in parts))

    def matrix_vector(self, tree: ast.BinOp) -> _Vector:
        left = tree.left
        if not isinstance(left, ast.Name) or len(self.shapes.get(left.id, ())) != 2:
            why = "the left of @ must be a matrix parameter"
            raise self.fault(left, why, "write A @ v, and A @ (B @ v) for a product")
        rows, columns = self.shapes[left.id]
        lane = self.lane
        with self.fresh_lane() as inner:
            v = self.vector(tree.right)
        if v.length != columns:
            raise self.fault(
                tree, f"{left.id} has {columns} columns and the vector {v.length} entries"
            )
        entry = Parameter(left.id, (Place(lane, 0), Place(inner, 0)), column=self.column(left))
        return _Vector(sum_over(inner, (0, columns), multiply((entry, v.body))), rows)

    @contextmanager
    def fresh_lane(self) -> Iterator[str]:
        """Vectors read within are read at an index of their own."""
        lane = self.bind()
        self.lanes.append(lane)
        try:
            yield lane
        finally:
            self.lanes.pop()
            self.bound -= 1

    def bind(self) -> str:
        # A lane that is read outside any operator takes the name of the next index: none is
        # bound twice, since that vector is refused in the end.
        if self.bound >= len(_LANES) - 1:
            raise self.fault(0, "too many sums within each other")
        self.bound += 1
        return _LANES[self.bound - 1]

    # Subscripts.

    def subscript(self, tree: ast.Subscript) -> Node:
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
        read = tuple(self.place(p, name, n) for p, n in zip(places, lengths, strict=True))
        column = self.column(tree)
        if name != self.layout.family:
            return Parameter(name, read, column=column)
        index, offset, through = read[0].index, read[0].offset, read[0].through
        if index is None:
            return self.entry(tree, str(offset + 1))
        return Entry(index, offset, name, through, column=column)

    def through(self, tree: ast.Subscript, name: str, length: int) -> Place:
        """The place that an index list gives: p[i] of x[p[i]]."""
        listed = tree.value
        if not isinstance(listed, ast.Name) or len(self.shapes.get(listed.id, ())) != 1:
            why = "only a list of whole numbers can stand before [ ] within [ ]"
            raise self.fault(tree, why, "give it as a parameter p, and write x[p[i]]")
        numbers = np.asarray(self.parameters[listed.id])
        if numbers.dtype.kind not in "iu":
            why = f"{listed.id} must hold whole numbers alone to stand within [ ]"
            raise self.fault(tree, why, f"give numbers from 1 to {length}")
        wrong = numbers[(numbers < 1) | (numbers > length)]
        if wrong.size:
            why = f"{listed.id} holds {wrong[0]}, and {name} has no entry {wrong[0]}"
            raise self.fault(tree, why, f"its entries are numbered 1 to {length}")
        self.index_lists.add(listed.id)
        place = self.place(tree.slice, listed.id, numbers.size)
        if place.through:
            raise self.fault(tree.slice, "an index list cannot be read through another")
        if place.index is None:
            return Place(None, int(numbers[place.offset]) - 1)
        return replace(place, through=IndexList(listed.id, np.unique(numbers).size == numbers.size))

    def place(self, tree: ast.expr, name: str, length: int) -> Place:
        """A number, or an index that a sum binds, plus or minus a number."""
        match tree:
            case ast.Constant(value=int(number)) if not isinstance(number, bool):
                if not 1 <= number <= length:
                    why = f"{name} has no entry {number if number < 10**12 else 'that large'}"
                    raise self.fault(tree, why, f"its entries are numbered 1 to {length}")
                return Place(None, number - 1)
            case ast.Name(id=index):
                return self.indexed(tree, index, 0, name, length)
            case ast.Subscript():
                return self.through(tree, name, length)
            case ast.BinOp(
                left=ast.Name(id=index),
                op=ast.Add() | ast.Sub() as op,
                right=ast.Constant(value=int(number)),
            ) if not isinstance(number, bool):
                offset = number if isinstance(op, ast.Add) else -number
                return self.indexed(tree, index, offset, name, length)
        raise self.fault(
            tree,
            "only a number or index ± number can stand in [ ]",
            "write x[3], x[i+1] or x[p[i]]",
        )

    def indexed(self, tree: ast.expr, index: str, offset: int, name: str, length: int) -> Place:
        if index not in self.indices:
            mend = nearest(index, self.indices) if self.indices else f"write sum({index}, ...)"
            raise self.fault(tree, f"the index {index} belongs to no sum", mend)
        if abs(offset) >= length:
            raise self.fault(tree, f"the offset is too large: {name} has {length} entries")
        self.indices[index].used.append((name, length, offset))
        return Place(self.indices[index].lane, offset)

    # Functions and operators.

    def call(self, tree: ast.Call) -> Node | _Vector:
        if not isinstance(tree.func, ast.Name):
            raise self.fault(tree.func, "only a name can be called", "write * between factors")
        name = tree.func.id
        if name not in FUNCTIONS and name not in OPERATORS:
            if name in self.known() or name in self.indices:
                raise self.fault(tree, f"{name} is no function", "write * between factors")
            raise self.fault(tree, f"the function {name} is not known", self.nearest_function(name))
        if tree.keywords:
            raise self.fault(tree.keywords[0].value, "arguments are not named here")
        for argument in tree.args:
            if isinstance(argument, ast.Starred):
                raise self.fault(argument, _REFUSED_SYNTAX[ast.Starred])
        if name in FUNCTIONS:
            self.count(tree, FUNCTIONS[name])
            column = self.column(tree)

            def build(*values: Node) -> Node:
                return replace(call(name, *values), column=column)

            return self.combine(tree, build, *tree.args)
        return getattr(self, f"call_{name}")(tree)

    def nearest_function(self, name: str) -> str:
        spelled = {"ln": "log", "arcsinh": "log", "atan": "arctan", "fabs": "abs", "pow": "**"}
        if name in spelled:
            return f"write {spelled[name]}"
        near = difflib.get_close_matches(name, [*FUNCTIONS, *OPERATORS], n=1)
        known = ", ".join(FUNCTIONS)
        return f"did you mean {near[0]}?" if near else f"known functions: {known}"

    def count(self, tree: ast.Call, *wanted: int) -> None:
        if len(tree.args) not in wanted:
            name = ast.unparse(tree.func)
            number = " or ".join(map(str, wanted))
            plural = "" if wanted == (1,) else "s"
            raise self.fault(tree, f"{name} takes {number} argument{plural}, not {len(tree.args)}")

    def call_sum(self, tree: ast.Call) -> Node:
        self.count(tree, 2)
        index = tree.args[0]
        if not isinstance(index, ast.Name):
            raise self.fault(
                index, "the first argument of sum must be an index", "write sum(i, ...)"
            )
        name = index.id
        if name in self.indices:
            raise self.fault(index, f"the index {name} is in use already", "take another")
        if name in self.known() or is_reserved(name) or name.startswith("_"):
            raise self.fault(
                index, f"{name} cannot be an index: it means something else", "take another"
            )
        used = self.indices[name] = _Range(self.bind())
        try:
            body = self.scalar(tree.args[1])
        finally:
            del self.indices[name]
            self.bound -= 1
        if not used.used:
            raise self.fault(
                index, f"the index {name} is not used", f"write x[{name}] within the sum"
            )
        start, stop = used.bounds
        if start >= stop:
            raise self.fault(tree, f"the sum over {name} has no term", "offsets exceed the vectors")
        self.check_lengths(tree, used)
        return sum_over(used.lane, (start, stop), body)

    def check_lengths(self, tree: ast.Call, used: _Range) -> None:
        """An index list may not be cut short, or cut others short, but by the window's width."""
        lists = [item for item in used.used if item[0] in self.index_lists]
        offsets = [offset for _, _, offset in used.used]
        for name, length, _ in lists:
            for other, size, _ in used.used:
                if abs(length - size) > max(offsets) - min(offsets):
                    why = f"{name} lists {length} entries, and {other} has {size}"
                    raise self.fault(tree, why, "give lists of the same length")

    def call_dot(self, tree: ast.Call) -> Node:
        self.count(tree, 2)
        gradients = [arg for arg in tree.args if self.is_gradient(arg)]
        if len(gradients) == 2:
            return GradNorm2(column=self.column(tree))
        if gradients:
            other = next(arg for arg in tree.args if arg is not gradients[0])
            with self.fresh_lane() as lane:
                b = self.vector(other)
            return self.drift(tree, lane, b)
        return self.dot(tree, *tree.args)

    def dot(self, tree: ast.Call, a: ast.expr, b: ast.expr) -> Node:
        with self.fresh_lane() as lane:
            parts = self.vector(a), self.vector(b)
            product = self.combine(tree, lambda *p: multiply(p), *parts)
        return sum_over(lane, (0, product.length), product.body)

    def drift(self, tree: ast.Call, lane: str, b: _Vector) -> Node:
        size = len(self.layout.space)
        if b.length != size:
            raise self.fault(tree, f"the vector has {b.length} entries and the gradient {size}")
        if contains(b.body, (Derivative, Source)):
            raise self.fault(tree, "the vector in a drift must be free of f and derivatives of u")
        outer = free(b.body) - {lane}
        if outer:
            raise self.fault(tree, "a drift cannot stand in a sum that its vector depends on")
        return Drift(lane, b.body, column=self.column(tree))

    def call_norm2(self, tree: ast.Call) -> Node:
        self.count(tree, 1)
        if self.is_gradient(tree.args[0]):
            return GradNorm2(column=self.column(tree))
        return self.dot(tree, tree.args[0], tree.args[0])

    def call_partial(self, tree: ast.Call) -> Node:
        if len(tree.args) < 2:
            why = "partial takes u and the coordinates to differentiate in"
            raise self.fault(tree, why, "write partial(u, x, x)")
        self.u_itself(tree)
        fixed: list[int] = []
        moving: list[tuple[str, int]] = []
        for argument in tree.args[1:]:
            match self.read(argument):
                case Coordinate(position):
                    fixed.append(position)
                case Entry(through=IndexList()):
                    why = "u is differentiated at an index, not at what a list holds there"
                    raise self.fault(argument, why, "write x[i]")
                case Entry(index, offset):
                    moving.append((index, offset))
                case _:
                    raise self.fault(argument, "u is differentiated in coordinates alone")
        if not moving:
            return partial(fixed, self.layout, self.column(tree))
        column, count = self.column(tree), len(self.layout.family_range)
        label = partial(fixed, self.layout, column).name.removeprefix("u_") if fixed else ""
        fixed.sort()
        return SumOfPartials(
            (), (), targets(moving), tuple(fixed), ONE, label, count, column=column
        )

    def u_itself(self, tree: ast.Call) -> None:
        """The first argument must be u."""
        self.need_u(tree)
        first = tree.args[0]
        if not (isinstance(first, ast.Name) and first.id == "u"):
            name = ast.unparse(tree.func)
            mend = {
                "laplacian": "write biharmonic(u) or polyharmonic(u, n) for repeated ones",
                "partial": "write diff(expression, x) for other expressions",
            }
            raise self.fault(first, f"{name} takes u itself", mend.get(name, ""))

    def call_laplacian(self, tree: ast.Call) -> Node:
        self.count(tree, 1)
        self.u_itself(tree)
        self.need_space(tree)
        return Laplacian(column=self.column(tree))

    def need_space(self, tree: ast.Call) -> None:
        if not self.layout.space:
            raise self.fault(tree, "there is no coordinate but t to differentiate in")

    def call_biharmonic(self, tree: ast.Call) -> Node:
        self.count(tree, 1)
        self.u_itself(tree)
        self.need_space(tree)
        return Polyharmonic(2, column=self.column(tree))

    def call_polyharmonic(self, tree: ast.Call) -> Node:
        self.count(tree, 2)
        self.u_itself(tree)
        self.need_space(tree)
        order = tree.args[1]
        if not (isinstance(order, ast.Constant) and type(order.value) is int):
            raise self.fault(order, "the order must be a whole number", "write polyharmonic(u, 3)")
        if not 1 <= order.value <= 10:
            raise self.fault(order, "the order must be between 1 and 10")
        column = self.column(tree)
        return (
            Laplacian(column=column)
            if order.value == 1
            else Polyharmonic(order.value, column=column)
        )

    def call_grad_norm2(self, tree: ast.Call) -> Node:
        self.count(tree, 1)
        self.u_itself(tree)
        self.need_space(tree)
        return GradNorm2(column=self.column(tree))

    def is_gradient(self, tree: ast.expr) -> bool:
        """Whether this is grad(u)."""
        if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)):
            return False
        if tree.func.id != "grad":
            return False
        self.count(tree, 1)
        self.u_itself(tree)
        self.need_space(tree)
        return True

    def call_grad(self, tree: ast.Call) -> Node:
        raise self.fault(
            tree, "grad(u) cannot stand here", "write dot(b, grad(u)) or div(k*grad(u))"
        )

    def call_trace(self, tree: ast.Call) -> Node:
        self.count(tree, 2)
        matrix, column = tree.args[0], self.column(tree)
        self.u_itself(ast.Call(tree.func, tree.args[1:], [], col_offset=tree.col_offset))
        self.need_space(tree)
        if not (isinstance(matrix, ast.Name) and matrix.id in self.shapes):
            why = "the first argument of trace must be a parameter"
            raise self.fault(matrix, why, "give the matrix, its diagonal or a number by name")
        shape, size = self.shapes[matrix.id], len(self.layout.space)
        if not shape:
            scale = Parameter(matrix.id, column=self.column(matrix))
            return multiply((scale, Laplacian(column=column)))
        if any(length != size for length in shape):
            told = " x ".join(map(str, shape))
            raise self.fault(matrix, f"{matrix.id} is {told}, and there are {size} coordinates")
        return Trace(matrix.id, len(shape) == 1, column=column)

    def call_div(self, tree: ast.Call) -> Node:
        self.count(tree, 1)
        self.need_u(tree)
        self.need_space(tree)
        return self.divergence(tree, tree.args[0])

    def divergence(self, tree: ast.Call, flux: ast.expr) -> Node:
        match flux:
            case ast.UnaryOp(op=ast.USub()):
                return negative(self.divergence(tree, flux.operand))
            case ast.BinOp(op=ast.Add() | ast.Sub() as op):
                left, right = (self.divergence(tree, side) for side in (flux.left, flux.right))
                return add((left, right if isinstance(op, ast.Add) else negative(right)))
            case ast.BinOp(op=ast.Mult()):
                for one, other in ((flux.left, flux.right), (flux.right, flux.left)):
                    if self.is_gradient(one):
                        return self.diffusion(tree, other, self.scalar(other))
                    if isinstance(one, ast.Name) and one.id == "u":
                        return self.advection(tree, other)
            case ast.BinOp(op=ast.Div()) if self.is_gradient(flux.left):
                k = divide(ONE, self.scalar(flux.right))
                return self.diffusion(tree, flux.right, k)
            case _ if self.is_gradient(flux):
                return Laplacian(column=self.column(tree))
        raise self.fault(
            flux, "div takes k*grad(u) or b*u", "write k and b as one factor, in brackets"
        )

    def diffusion(self, tree: ast.Call, where: ast.expr, k: Node) -> Node:
        """div(k grad u) = k laplacian(u) + dot(grad k, grad u) + k_u |grad u|^2."""
        if contains(k, (Derivative, Source)):
            raise self.fault(where, "the coefficient in div must be free of f and derivatives of u")
        if free(k):
            raise self.fault(where, "div cannot stand in a sum that its coefficient depends on")
        column, space = self.column(tree), self.layout.space
        terms = [multiply((k, Laplacian(column=column)))]
        if any(
            isinstance(n, Entry) or (isinstance(n, Coordinate) and n.position in space)
            for n in k.walk()
        ):
            with self.fresh_lane() as lane:
                slopes = GradientEntry(k, lane, column=column)
            terms.append(Drift(lane, slopes, column=column))
        if contains(k, Unknown):
            terms.append(multiply((slope_in_u(k), GradNorm2(column=column))))
        return add(terms)

    def advection(self, tree: ast.Call, b: ast.expr) -> Node:
        """div(b u) = dot(b, grad u) + u div b, for b free of u and its entry i of all but x_i."""
        with self.fresh_lane() as lane:
            vector = self.vector(b)
            space = self.layout.space
            closed = [
                n for n in vector.body.walk()
                if (isinstance(n, Unknown | Sum) and contains(n, (Unknown, Entry)))
                or (isinstance(n, Coordinate) and n.position in space)
            ]  # fmt: skip
            if closed:
                why = "entry i of the vector in div(b*u) may depend on entry i of the point alone"
                raise self.fault(b, why, "write dot(b, grad(u)) + u*(the divergence of b)")
            own = slope(vector.body, lane, 0, self.layout)
        drift = self.drift(tree, lane, vector)
        unknown = Unknown(column=self.column(tree))
        return add((drift, multiply((unknown, sum_over(lane, (0, vector.length), own)))))

    def call_diff(self, tree: ast.Call) -> Node:
        self.count(tree, 2)
        body = self.scalar(tree.args[0])
        match self.read(tree.args[1]):
            case Coordinate(position):
                node = differentiate(body, position, self.layout)
            case _:
                why = "diff differentiates in one coordinate"
                raise self.fault(tree.args[1], why, "write a name such as t or x3")
        # A product of many factors, differentiated many times, would fill the memory.
        if sum(1 for _ in zip(node.walk(), range(_MOST_NODES), strict=False)) == _MOST_NODES:
            raise self.fault(tree, "the derivative is too long", "write it in partials of u")
        return node


def split_source(node: Node, *, text: str, where: str) -> Node | None:
    """The residual without its term - f, or None where f does not occur.

    Raises:
        ExpressionError: f occurs in any other way than as the one term - f.
    """
    sources = [part for part in node.walk() if isinstance(part, Source)]
    if not sources:
        return None
    terms = node.terms if isinstance(node, Add) else (node,)
    minus_f = negative(Source())
    rest = tuple(term for term in terms if term != minus_f)
    if len(sources) > 1 or len(rest) != len(terms) - 1:
        why = "the source may only stand as the term - f"
        raise fault(as_line(text), where, sources[-1].column, why, "write the residual as ... - f")
    return add(rest)
