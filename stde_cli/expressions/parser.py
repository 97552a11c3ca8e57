"""From text to an expression.

`syntax.py` has the text read by Python's own grammar; `reader.py` and `operators.py` turn the tree
into nodes, and `scope.py` tells them what the names in it stand for.
"""

from collections.abc import Mapping
from typing import Any

from stde_cli.expressions.algebra import Refused, add, negative
from stde_cli.expressions.faults import fault
from stde_cli.expressions.layout import Layout
from stde_cli.expressions.nodes import Add, Node, Source
from stde_cli.expressions.operators import OPERATORS
from stde_cli.expressions.reader import Reader
from stde_cli.expressions.scope import Scope, check_parameters
from stde_cli.expressions.syntax import Text, as_line


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
    check_parameters(parameters, layout)
    written = Text(text, where)
    reader = Reader(written, Scope(written, layout, parameters, allow), OPERATORS)
    try:
        return reader.scalar(written.tree)
    except RecursionError:
        raise written.fault(0, "nested too deeply", "split it up") from None
    except Refused as refused:
        raise written.fault(refused.node.column, refused.why, refused.mend) from None


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
