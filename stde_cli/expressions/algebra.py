"""Building expressions, differentiating them, and telling whether they are affine.

The constructors here drop zeros and ones and flatten nested sums and products; nothing else is
folded, so that no text makes Python compute a large number.
"""

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from stde_cli.expressions.layout import Layout
from stde_cli.expressions.nodes import (
    Add,
    Bounds,
    Coordinate,
    Derivative,
    Divide,
    Entry,
    Extreme,
    Function,
    GradientEntry,
    Multiply,
    Node,
    Number,
    Parameter,
    Partial,
    Power,
    Source,
    Sum,
    SumOfPartials,
    Target,
    Unknown,
    contains,
    free,
    render,
)

_MOST_FACTORS = 100
"""A product has as many terms in its derivative as factors, each as long as itself."""

ZERO, ONE, MINUS_ONE = Number(0), Number(1), Number(-1)


class Refused(Exception):
    """What was asked cannot be done with this node."""

    def __init__(self, node: Node, why: str, mend: str = ""):
        super().__init__(why)
        self.node, self.why, self.mend = node, why, mend


def add(terms: Iterable[Node]) -> Node:
    flat: list[Node] = []
    for term in terms:
        flat += term.terms if isinstance(term, Add) else (term,)
    flat = [term for term in flat if term != ZERO]
    if len(flat) < 2:
        return flat[0] if flat else ZERO
    return Add(tuple(flat), column=flat[0].column)


def multiply(factors: Iterable[Node]) -> Node:
    flat: list[Node] = []
    for factor in factors:
        flat += factor.factors if isinstance(factor, Multiply) else (factor,)
    if ZERO in flat:
        return ZERO
    negative = flat.count(MINUS_ONE) % 2
    flat = [factor for factor in flat if factor not in (ONE, MINUS_ONE)]
    if negative:
        if flat and isinstance(flat[0], Number):
            flat[0] = Number(-flat[0].value, column=flat[0].column)
        else:
            column = flat[0].column if flat else 0
            flat.insert(0, Number(-1, column=column))
    if len(flat) < 2:
        return flat[0] if flat else ONE
    return Multiply(tuple(flat), column=flat[0].column)


def negative(node: Node) -> Node:
    if isinstance(node, Add):
        return add(map(negative, node.terms))
    return multiply((MINUS_ONE, node))


def divide(numerator: Node, denominator: Node) -> Node:
    if numerator == ZERO and denominator != ZERO:
        return ZERO
    if denominator == ONE:
        return numerator
    return Divide(numerator, denominator, column=numerator.column)


def power(base: Node, exponent: Node) -> Node:
    if exponent == ONE:
        return base
    if exponent == ZERO:
        return ONE
    return Power(base, exponent, column=base.column)


def call(name: str, *arguments: Node) -> Node:
    return Function(name, arguments, column=arguments[0].column)


def sum_over(index: str, bounds: Bounds, body: Node) -> Node:
    """The sum of `body`, with what does not depend on the index taken out of it.

    A sum within a sum then often becomes a product of sums, and a factor that moves with time does
    not move every term. A sum of partial derivatives becomes one derivative of u.
    """
    if isinstance(body, Add):
        # Terms that only move at the index stay together: one reduction is enough for them.
        together, apart = _partition(body.terms, lambda term: _stays(term, index))
        if apart:
            parts = [sum_over(index, bounds, term) for term in apart]
            return add([*parts, sum_over(index, bounds, add(together))] if together else parts)
    outer, inner = _factor_out(body, index)
    if inner == ONE:
        return multiply((Number(bounds[1] - bounds[0]), outer))
    if _indexed(inner, index):
        return multiply((outer, _sum_of_partials(index, bounds, inner)))
    return multiply((outer, Sum(index, bounds, inner, column=body.column)))


def _stays(term: Node, index: str) -> bool:
    """Whether nothing is gained by summing the term on its own."""
    outer, inner = _factor_out(term, index)
    moves = contains(outer, (Coordinate, Entry, Sum, Unknown, Source, Derivative))
    return inner != ONE and not moves and not _indexed(inner, index)


def _partition(nodes: Iterable[Node], which: Callable[[Node], bool]) -> tuple[list, list]:
    yes: list[Node] = []
    no: list[Node] = []
    for node in nodes:
        (yes if which(node) else no).append(node)
    return yes, no


def _factor_out(node: Node, index: str) -> tuple[Node, Node]:
    """(a, b) with node = a * b and a independent of the index."""
    if index not in free(node):
        return node, ONE
    if isinstance(node, Multiply):
        parts = [_factor_out(factor, index) for factor in node.factors]
        return multiply(a for a, _ in parts), multiply(b for _, b in parts)
    if isinstance(node, Divide):
        above, below = _factor_out(node.numerator, index), _factor_out(node.denominator, index)
        return divide(above[0], below[0]), divide(above[1], below[1])
    return ONE, node


def _indexed(node: Node, index: str) -> bool:
    """Whether u is differentiated in a direction that the index names."""
    return any(
        isinstance(part, SumOfPartials) and any(t.index == index for t in part.targets)
        for part in node.walk()
    )


def _sum_of_partials(index: str, bounds: Bounds, body: Node) -> SumOfPartials:
    """The sum of coefficient * partial(u, ...), the coefficient and its partial within `body`."""
    factors = body.factors if isinstance(body, Multiply) else (body,)
    rest: list[Node] = []
    if isinstance(body, Divide):
        top = body.numerator
        factors = top.factors if isinstance(top, Multiply) else (top,)
        rest = [divide(ONE, body.denominator)]
    found, others = _partition(factors, lambda factor: isinstance(factor, SumOfPartials))
    others += rest
    if len(found) != 1 or any(contains(other, (Derivative, Source)) for other in others):
        culprit = next((n for f in factors for n in f.walk() if isinstance(n, SumOfPartials)), body)
        why = "a partial over an index may only be multiplied by coefficients free of derivatives"
        mend = "write sum(i, coefficient * partial(u, x[i], ...)), or grad_norm2(u) for squares"
        raise Refused(culprit, why, mend)
    inner = found[0]
    return replace(
        inner,
        indices=(index, *inner.indices),
        bounds=(bounds, *inner.bounds),
        coefficient=multiply((*others, inner.coefficient)),
        column=body.column,
    )


def targets(places: Iterable[tuple[str, int]]) -> tuple[Target, ...]:
    """Equal (index, offset) pairs gathered, in order."""
    listed = sorted(places)
    return tuple(Target(*place, listed.count(place)) for place in sorted(set(listed)))


def substitute(node: Node, index: str, number: int, layout: Layout) -> Node:
    """`node` with the free index made a number, from 0."""
    if index not in free(node):
        return node

    def swap(part: Node) -> Node:
        return substitute(part, index, number, layout)

    match node:
        case Entry(_, offset):
            return coordinate(layout.family_range[number + offset], layout, node.column)
        case Parameter(places=places):
            new = (
                replace(p, index=None, offset=number + p.offset) if p.index == index else p
                for p in places
            )
            return replace(node, places=tuple(new))
    return rebuild(node, swap)


def rebuild(node: Node, swap: Callable[[Node], Node]) -> Node:
    """`node` with its parts swapped."""
    match node:
        case Add(terms):
            return add(map(swap, terms))
        case Multiply(factors):
            return multiply(map(swap, factors))
        case Divide(a, b):
            return divide(swap(a), swap(b))
        case Power(a, b):
            return power(swap(a), swap(b))
        case Function(arguments=arguments):
            return replace(node, arguments=tuple(map(swap, arguments)))
        case Sum(index, bounds, body):
            return sum_over(index, bounds, swap(body))
        case Extreme(body=body):
            return replace(node, body=swap(body))
    raise Refused(node, "a derivative over an index cannot be differentiated again")


def coordinate(position: int, layout: Layout, column: int) -> Coordinate:
    return Coordinate(position, layout.label(position), column=column)


def partial(positions: Iterable[int], layout: Layout, column: int) -> Partial:
    """u differentiated in coordinates, in any order."""
    ordered = tuple(sorted(positions))
    labels = [layout.label(position) for position in ordered]
    # Names of which one begins another are kept apart where they could be misread.
    ways = ("".join(labels), "_".join(labels))
    apart = next((f"u_{way}" for way in ways if layout.readings(way) == (ordered,)), None)
    return Partial(ordered, apart or layout.spelled(ordered), column=column)


def with_coordinate(node: Node, position: int, value: Node) -> Node:
    """`node` with the coordinate at `position`, read by its own name, made another node."""
    if isinstance(node, Coordinate):
        return value if node.position == position else node
    if not node.children:
        return node
    return rebuild(node, lambda part: with_coordinate(part, position, value))


def is_kinked(node: Node) -> bool:
    """Whether max, min or abs of something that moves with the point is in it."""
    return any(
        (isinstance(part, Extreme) or (isinstance(part, Function) and part.name in _KINKED))
        and contains(part, (Coordinate, Entry))
        for part in node.walk()
    )


_KINKED = ("abs", "min", "max")


def differentiate(node: Node, position: int, layout: Layout) -> Node:
    """The derivative of a closed expression in the coordinate at `position`.

    Raises:
        Refused: the expression holds f, a derivative other than a partial, or a family's entry
            at an index that is not bound within it.
    """

    def d(part: Node) -> Node:
        return differentiate(part, position, layout)

    match node:
        case Number() | Parameter():
            return ZERO
        case Coordinate():
            return ONE if node.position == position else ZERO
        case Unknown():
            return partial((position,), layout, node.column)
        case Partial(coordinates):
            return partial((*coordinates, position), layout, node.column)
        case Extreme():
            raise Refused(node, f"{node.name} over an index cannot be differentiated")
        case Derivative() | GradientEntry():
            raise Refused(
                node, f"{node_word(node)} cannot be differentiated", "write it out in partials of u"
            )
        case Source():
            raise Refused(node, "f cannot be differentiated", "differentiate its formula")
        case Entry():
            if position not in layout.family_range:
                return ZERO
            why = "an entry at an index cannot be differentiated in a numbered one"
            raise Refused(node, why, "put the sum within diff")
        case Sum(index, (start, stop), body):
            if position not in layout.family_range:
                return sum_over(index, (start, stop), d(body))
            terms = [sum_over(index, (start, stop), _with_entries_fixed(body, index, d))]
            for entry in window(body, index):
                if entry.through:
                    why = f"{render(entry)} cannot be differentiated in a numbered coordinate"
                    raise Refused(entry, why, "write its derivative out")
                number = position - layout.family_range.start - entry.offset
                if start <= number < stop:
                    term = slope(body, index, entry.offset, layout)
                    terms.append(substitute(term, index, number, layout))
            return add(terms)
    return chain_rule(node, d)


def slope(node: Node, index: str, offset: int, layout: Layout) -> Node:
    """The derivative of `node` in the entry number index + offset, all else held fixed."""

    def d(part: Node) -> Node:
        return slope(part, index, offset, layout)

    match node:
        case Entry():
            if node.through and node.index == index:
                raise Refused(node, f"{render(node)} cannot be differentiated")
            return ONE if (node.index, node.offset) == (index, offset) else ZERO
        case Sum(bound, bounds, body):
            return sum_over(bound, bounds, d(body))
        case _ if index not in free(node):
            return ZERO
        case Parameter():
            return ZERO
        case Derivative() | GradientEntry():
            raise Refused(node, f"{node_word(node)} cannot be differentiated")
    return chain_rule(node, d)


def slope_in_u(node: Node) -> Node:
    """The derivative of an expression free of derivatives of u in the value of u."""
    match node:
        case Unknown():
            return ONE
        case _ if not contains(node, Unknown):
            return ZERO
        case Sum(index, bounds, body):
            return sum_over(index, bounds, slope_in_u(body))
    return chain_rule(node, slope_in_u)


def _with_entries_fixed(body: Node, index: str, d: Callable[[Node], Node]) -> Node:
    """The derivative of a sum's body by `d`, the entries at the sum's own index held fixed."""

    def fixed(part: Node) -> Node:
        match part:
            case Entry() if part.index == index:
                return ZERO
            case Sum(bound, bounds, inner) if index in free(part):
                if contains(inner, Entry) and any(
                    isinstance(n, Entry) and n.index == bound for n in inner.walk()
                ):
                    why = "a sum within a sum that is no product cannot be differentiated"
                    raise Refused(part, why, "write its derivative out")
                return sum_over(bound, bounds, fixed(inner))
            case _ if index not in free(part):
                return d(part)
            case Parameter():
                return ZERO
            case Derivative() | GradientEntry():
                raise Refused(part, f"{node_word(part)} cannot be differentiated")
        return chain_rule(part, fixed)

    return fixed(body)


def window(body: Node, index: str) -> tuple[Entry, ...]:
    """The distinct entries that a body reads at its index, in increasing order of offsets."""
    entries = {n for n in body.walk() if isinstance(n, Entry) and n.index == index}
    return tuple(sorted(entries, key=lambda n: (n.through.name if n.through else "", n.offset)))


def node_word(node: Node) -> str:
    return node.name if isinstance(node, Derivative) else type(node).__name__.lower()


def chain_rule(node: Node, d: Callable[[Node], Node]) -> Node:
    """The derivative of an operation, from those of its parts."""
    match node:
        case Add(terms):
            return add(map(d, terms))
        case Multiply(factors):
            if len(factors) > _MOST_FACTORS:
                raise Refused(node, f"a product of over {_MOST_FACTORS} cannot be differentiated")
            return add(
                multiply((*factors[:k], slope_k, *factors[k + 1 :]))
                for k, slope_k in enumerate(map(d, factors))
                if slope_k != ZERO
            )
        case Divide(a, b):
            first = divide(d(a), b)
            below = d(b)
            if below == ZERO:
                return first
            return add((first, negative(divide(multiply((a, below)), power(b, Number(2))))))
        case Power(a, b):
            da, db = d(a), d(b)
            lower = Number(b.value - 1) if isinstance(b, Number) else add((b, MINUS_ONE))
            terms = [multiply((b, power(a, lower), da))] if da != ZERO else []
            return add([*terms, multiply((db, node, call("log", a)))] if db != ZERO else terms)
        case Function(name, arguments):
            slopes = [d(argument) for argument in arguments]
            if all(slope_k == ZERO for slope_k in slopes):
                return ZERO
            parts = _SLOPES[name](*arguments)
            return add(map(lambda part, dx: multiply((part, dx)), parts, slopes))
    raise TypeError(type(node).__name__)


def _square(a: Node) -> Node:
    return power(a, Number(2))


_SLOPES: dict[str, Callable[..., tuple[Node, ...]]] = {
    "sin": lambda a: (call("cos", a),),
    "cos": lambda a: (negative(call("sin", a)),),
    "tan": lambda a: (add((ONE, _square(call("tan", a)))),),
    "sinh": lambda a: (call("cosh", a),),
    "cosh": lambda a: (call("sinh", a),),
    "tanh": lambda a: (add((ONE, negative(_square(call("tanh", a))))),),
    "sech": lambda a: (negative(multiply((call("sech", a), call("tanh", a)))),),
    "exp": lambda a: (call("exp", a),),
    "log": lambda a: (divide(ONE, a),),
    "sqrt": lambda a: (divide(Number(0.5), call("sqrt", a)),),
    "abs": lambda a: (call("sign", a),),
    "arctan": lambda a: (divide(ONE, add((ONE, _square(a)))),),
    "erf": lambda a: (
        multiply((Number(2 / math.sqrt(math.pi)), call("exp", negative(_square(a))))),
    ),
    "min": lambda a, b: (call("step", b, a), call("step", a, b)),
    "max": lambda a, b: (call("step", a, b), call("step", b, a)),
    "sign": lambda a: (ZERO,),
    "step": lambda a, b: (ZERO, ZERO),
}
"""The derivatives in each argument; step(a, b) is 1 where a > b, 1/2 where a = b, or 0."""


def degree_in(node: Node, sampled: Collection[Derivative]) -> Node | None:
    """None if `node` is affine in these derivatives jointly, or else the node that is not.

    Affine means that they are added and multiplied by what is free of them, and no more: no
    product or power of them, and no function of them.
    """

    def uses(part: Node) -> bool:
        return any(isinstance(n, Derivative) and n in sampled for n in part.walk())

    match node:
        case Add(terms):
            parts: tuple[Node, ...] = terms
        case Multiply(factors):
            parts = tuple(filter(uses, factors))
            if len(parts) > 1:
                return node
        case Divide(a, b):
            if uses(b):
                return node
            parts = (a,)
        case Sum(body=body):
            parts = (body,)
        case Power() | Function():
            return node if uses(node) else None
        case _:
            return None
    return next((found for part in parts if (found := degree_in(part, sampled))), None)
