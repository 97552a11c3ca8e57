"""From a syntax tree to nodes: numbers, names, arithmetic and functions.

Only the kinds of syntax listed in `Reader` are let through, and nothing is ever evaluated.
"""

import ast
import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from stde_cli.expressions.algebra import add, call, divide, multiply, negative, power, sum_over
from stde_cli.expressions.layout import FUNCTIONS, is_reserved
from stde_cli.expressions.nodes import Node, Number, Parameter, Place
from stde_cli.expressions.scope import Scope, Vector
from stde_cli.expressions.syntax import Text, chain_of

_LARGEST = 1e300

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

Operator = Callable[["Reader", ast.Call], Node]
"""How the call of an operator, such as laplacian(u), is read."""


class Reader:
    """Reads a syntax tree, kind by kind.

    Args:
        text: the expression.
        scope: what its names stand for.
        operators: how the call of each operator of the language is read.
    """

    def __init__(self, text: Text, scope: Scope, operators: Mapping[str, Operator]):
        self.text, self.scope, self.operators = text, scope, operators
        self.fault, self.column = text.fault, text.column

    def scalar(self, tree: ast.expr) -> Node:
        """Read what must be one number."""
        node = self.read(tree)
        if isinstance(node, Vector):
            raise self.fault(
                tree, "a vector stands where a number must", "write dot(a, b) or sum(i, ...)"
            )
        return node

    def vector(self, tree: ast.expr) -> Vector:
        """Read what must be a vector."""
        node = self.read(tree)
        if not isinstance(node, Vector):
            raise self.fault(tree, "a number stands where a vector must")
        return node

    def read(self, tree: ast.expr) -> Node | Vector:
        """Read what may be a number or a vector."""
        match tree:
            case ast.Constant():
                return self._number(tree)
            case ast.Name():
                return self.scope.name(tree)
            case ast.UnaryOp(op=ast.USub()):
                return self.combine(tree, negative, tree.operand)
            case ast.UnaryOp(op=ast.UAdd()):
                return self.read(tree.operand)
            case ast.UnaryOp():
                raise self.fault(tree, "this sign is not part of the language", "write - for minus")
            case ast.BinOp():
                return self._operation(tree)
            case ast.Subscript():
                return self.scope.subscript(tree)
            case ast.Call():
                return self._call(tree)
        why = _REFUSED_SYNTAX.get(type(tree), "this is not part of the language")
        raise self.fault(tree, why, _MENDS.get(type(tree), ""))

    def combine(self, tree: ast.AST, build: Any, *parts: ast.expr | Node | Vector) -> Any:
        """`build` applied to numbers, or entry by entry where one of the parts is a vector."""
        values = [self.read(part) if isinstance(part, ast.expr) else part for part in parts]
        lengths = {value.length for value in values if isinstance(value, Vector)}
        if len(lengths) > 1:
            raise self.fault(
                tree, f"vectors of {min(lengths)} and {max(lengths)} entries are combined"
            )
        node = build(*(v.body if isinstance(v, Vector) else v for v in values))
        return Vector(node, lengths.pop()) if lengths else node

    def count(self, tree: ast.Call, *wanted: int) -> None:
        """Refuse a call with another number of arguments than those wanted."""
        if len(tree.args) not in wanted:
            name = ast.unparse(tree.func)
            number = " or ".join(map(str, wanted))
            plural = "" if wanted == (1,) else "s"
            raise self.fault(tree, f"{name} takes {number} argument{plural}, not {len(tree.args)}")

    # Kinds of syntax.

    def _number(self, tree: ast.Constant) -> Node:
        value = tree.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.fault(tree, "this is no number", "only numbers and names can be used")
        if abs(value) > _LARGEST:
            raise self.fault(tree, f"the number is larger than {_LARGEST:g}")
        return Number(float(value) if abs(value) > 2**31 else value, column=self.column(tree))

    def _operation(self, tree: ast.BinOp) -> Node | Vector:
        match tree.op:
            case ast.Add() | ast.Sub() | ast.Mult():
                return self._chain(tree)
            case ast.Div():
                return self.combine(tree, divide, tree.left, tree.right)
            case ast.Pow():
                return self.combine(tree, power, tree.left, tree.right)
            case ast.MatMult():
                return self._matrix_vector(tree)
        column = self.text.operator_column(tree)
        mends = {
            ast.BitXor: "write ** for powers",
            ast.FloorDiv: "write / to divide",
            ast.Mod: "write the remainder out",
        }
        mend = mends.get(type(tree.op), "write + - * / or **")
        raise self.fault(column, f"{self.text.text[column]} is not part of the language", mend)

    def _chain(self, tree: ast.BinOp) -> Node | Vector:
        """a + b - c ... or a * b * ..., however many, without going deeper at each."""
        parts: list[tuple[ast.expr, bool]] = []
        left: ast.expr = tree
        while isinstance(left, ast.BinOp) and chain_of(left) == chain_of(tree):
            parts.append((left.right, isinstance(left.op, ast.Sub)))
            left = left.left
        parts = [(left, False), *reversed(parts)]
        build = multiply if isinstance(tree.op, ast.Mult) else add

        def signed(*values: Node) -> Node:
            return build(negative(v) if p[1] else v for v, p in zip(values, parts, strict=True))

        return self.combine(tree, signed, *(part for part, _ in parts))

    def _matrix_vector(self, tree: ast.BinOp) -> Vector:
        left = tree.left
        if not isinstance(left, ast.Name) or len(self.scope.shapes.get(left.id, ())) != 2:
            why = "the left of @ must be a matrix parameter"
            raise self.fault(left, why, "write A @ v, and A @ (B @ v) for a product")
        rows, columns = self.scope.shapes[left.id]
        lane = self.scope.lane
        with self.scope.fresh_lane() as inner:
            v = self.vector(tree.right)
        if v.length != columns:
            raise self.fault(
                tree, f"{left.id} has {columns} columns and the vector {v.length} entries"
            )
        entry = Parameter(left.id, (Place(lane, 0), Place(inner, 0)), column=self.column(left))
        return Vector(sum_over(inner, (0, columns), multiply((entry, v.body))), rows)

    def _call(self, tree: ast.Call) -> Node | Vector:
        if not isinstance(tree.func, ast.Name):
            raise self.fault(tree.func, "only a name can be called", "write * between factors")
        name = tree.func.id
        if name not in FUNCTIONS and name not in self.operators:
            if name in self.scope.known() or name in self.scope.indices:
                raise self.fault(tree, f"{name} is no function", "write * between factors")
            raise self.fault(
                tree, f"the function {name} is not known", self._nearest_function(name)
            )
        if tree.keywords:
            raise self.fault(tree.keywords[0].value, "arguments are not named here")
        for argument in tree.args:
            if isinstance(argument, ast.Starred):
                raise self.fault(argument, _REFUSED_SYNTAX[ast.Starred])
        if name in FUNCTIONS and not self._is_over_index(tree, name):
            self.count(tree, FUNCTIONS[name])
            column = self.column(tree)

            def build(*values: Node) -> Node:
                return replace(call(name, *values), column=column)

            return self.combine(tree, build, *tree.args)
        return self.operators[name](self, tree)

    def _is_over_index(self, tree: ast.Call, name: str) -> bool:
        """Whether this is max(i, x[i]) and not max(a, b)."""
        if name not in self.operators or len(tree.args) != 2:
            return False
        first, body = tree.args
        if not isinstance(first, ast.Name) or is_reserved(first.id):
            return False
        used = any(isinstance(n, ast.Name) and n.id == first.id for n in ast.walk(body))
        return used and first.id not in self.scope.known()

    def _nearest_function(self, name: str) -> str:
        spelled = {"ln": "log", "arcsinh": "log", "atan": "arctan", "fabs": "abs", "pow": "**"}
        if name in spelled:
            return f"write {spelled[name]}"
        near = difflib.get_close_matches(name, [*FUNCTIONS, *self.operators], n=1)
        known = ", ".join(FUNCTIONS)
        return f"did you mean {near[0]}?" if near else f"known functions: {known}"
