"""Terms with constant factors."""

from collections.abc import Collection

from stde_cli.expressions.algebra import ONE, add, divide, multiply
from stde_cli.expressions.nodes import (
    Add,
    Coordinate,
    Derivative,
    Divide,
    Entry,
    GradientEntry,
    Multiply,
    Node,
    Source,
    Unknown,
    contains,
)


def is_constant(node: Node) -> bool:
    """Whether a value is the same at every point and for every u; it may depend on an index."""
    return not contains(node, (Coordinate, Entry, GradientEntry, Unknown, Source, Derivative))


def linear_terms(
    node: Node, wanted: Collection[Derivative]
) -> tuple[list[tuple[Node, Derivative]], Node]:
    """The top-level terms that are a constant times one of `wanted`, and the sum of the others."""
    found: list[tuple[Node, Derivative]] = []
    others: list[Node] = []
    for term in node.terms if isinstance(node, Add) else (node,):
        split = _split(term)
        if split is not None and split[1] in wanted:
            found.append(split)
        else:
            others.append(term)
    return found, add(others)


def _split(term: Node) -> tuple[Node, Derivative] | None:
    match term:
        case Derivative():
            return ONE, term
        case Divide(a, b) if is_constant(b) and (split := _split(a)) is not None:
            return divide(split[0], b), split[1]
        case Multiply(factors):
            moving = [factor for factor in factors if not is_constant(factor)]
            if len(moving) == 1 and (split := _split(moving[0])) is not None:
                return multiply([split[0], *filter(is_constant, factors)]), split[1]
    return None
