"""The tree of an expression: immutable nodes, equal by value.

A node remembers the column that it was read from, for messages; two nodes that differ in it alone
are equal. Numbers of family entries count from 0 here: `Entry("i", 1)` is the entry after number i.
Those that an index list holds count from 1, as in the text.
A node with an index that no `Sum` around it binds stands for one value for each number: it is how
vectors are written. Bound indices are named i, j, k ... by depth, whatever the user called them.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import TypeAlias

Bounds: TypeAlias = tuple[int, int]
"""The first number of an index, and one past the last."""


@dataclass(frozen=True)
class Node:
    """Base of all nodes."""

    column: int = field(default=0, compare=False, repr=False, kw_only=True)

    @property
    def children(self) -> tuple["Node", ...]:
        found: list[Node] = []
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Node):
                found.append(value)
            elif isinstance(value, tuple):
                found += [v for v in value if isinstance(v, Node)]
        return tuple(found)

    def walk(self) -> Iterator["Node"]:
        """This node and all below it, in order of appearance."""
        stack: list[Node] = [self]
        while stack:
            node = stack.pop()
            yield node
            stack += reversed(node.children)


@dataclass(frozen=True)
class Number(Node):
    value: int | float


@dataclass(frozen=True)
class IndexList:
    """A parameter that lists numbers of entries: p of x[p[i]].

    Attributes:
        name: the parameter.
        distinct: whether it holds no number twice.
    """

    name: str
    distinct: bool = field(compare=False)


@dataclass(frozen=True)
class Place:
    """A number, or an index plus an offset; or what `through` lists there."""

    index: str | None
    offset: int
    through: IndexList | None = None


@dataclass(frozen=True)
class Parameter(Node):
    """A scalar parameter, or the entry of a vector or matrix at the given places."""

    name: str
    places: tuple[Place, ...] = ()


@dataclass(frozen=True)
class Coordinate(Node):
    """The point's entry at a position."""

    position: int
    label: str = field(compare=False)


@dataclass(frozen=True)
class Entry(Node):
    """The family's entry number index + offset; or the one that `through` lists there."""

    index: str
    offset: int
    family: str = field(compare=False)
    through: IndexList | None = None


@dataclass(frozen=True)
class Unknown(Node):
    """u."""


@dataclass(frozen=True)
class Source(Node):
    """f."""


@dataclass(frozen=True)
class Add(Node):
    terms: tuple[Node, ...]


@dataclass(frozen=True)
class Multiply(Node):
    factors: tuple[Node, ...]


@dataclass(frozen=True)
class Divide(Node):
    numerator: Node
    denominator: Node


@dataclass(frozen=True)
class Power(Node):
    base: Node
    exponent: Node


@dataclass(frozen=True)
class Function(Node):
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Sum(Node):
    """The sum of `body` over an index within bounds."""

    index: str
    bounds: Bounds
    body: Node


@dataclass(frozen=True)
class Extreme(Node):
    """The largest or the smallest `body` over an index within bounds; it is free of others."""

    name: str
    index: str
    bounds: Bounds
    body: Node


@dataclass(frozen=True)
class GradientEntry(Node):
    """Entry number `index` of the gradient, over `Layout.space`, of a field with u held fixed."""

    field: Node
    index: str


@dataclass(frozen=True)
class Derivative(Node, ABC):
    """Base of what is computed from u elsewhere and looked up by the node itself."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Short, for people: two derivatives may share it where a coordinate is called i or j."""


@dataclass(frozen=True)
class Partial(Derivative):
    """The derivative of u in each of the coordinates, positions in increasing order."""

    coordinates: tuple[int, ...]
    label: str = field(compare=False)

    @property
    def name(self) -> str:
        return self.label


@dataclass(frozen=True)
class Laplacian(Derivative):
    """The Laplacian over `Layout.space`."""

    @property
    def name(self) -> str:
        return "laplacian"


@dataclass(frozen=True)
class Polyharmonic(Derivative):
    """The Laplacian applied `order` times, 2 or more."""

    order: int

    @property
    def name(self) -> str:
        return "biharmonic" if self.order == 2 else f"polyharmonic_{self.order}"


@dataclass(frozen=True)
class GradNorm2(Derivative):
    """|grad u|^2 over `Layout.space`."""

    @property
    def name(self) -> str:
        return "grad_norm2"


@dataclass(frozen=True)
class GradForm(Derivative):
    """sum_ij A_ij d_i u d_j u over `Layout.space`; the parameter is the matrix, or its diagonal."""

    parameter: str
    diagonal: bool

    @property
    def name(self) -> str:
        return f"grad_norm2_{self.parameter}"


@dataclass(frozen=True)
class Drift(Derivative):
    """dot(b, grad(u)): entry number `index` of b is `vector`."""

    index: str
    vector: Node

    @property
    def name(self) -> str:
        if isinstance(self.vector, Parameter):
            return f"drift_{self.vector.name}"
        if isinstance(self.vector, Entry):
            return f"drift_{self.vector.family}"
        return f"drift({render(self.vector)})"


@dataclass(frozen=True)
class Trace(Derivative):
    """sum_ij A_ij d_i d_j u; the parameter is the matrix, or its diagonal."""

    parameter: str
    diagonal: bool

    @property
    def name(self) -> str:
        return f"trace_{self.parameter}"


@dataclass(frozen=True)
class Target:
    """`order` derivatives in the family's entry index + offset."""

    index: str
    offset: int
    order: int


@dataclass(frozen=True)
class SumOfPartials(Derivative):
    """sum over indices of coefficient * d^n u.

    Attributes:
        indices: the names of the indices, outermost first; `bounds` are theirs.
        targets: what is differentiated in, and how often, for each number of the indices.
        fixed: positions that are differentiated in whatever the numbers.
        coefficient: may depend on the point, on u and on the numbers.
    """

    indices: tuple[str, ...]
    bounds: tuple[Bounds, ...]
    targets: tuple[Target, ...]
    fixed: tuple[int, ...]
    coefficient: Node
    fixed_label: str = field(compare=False)
    family_count: int = field(compare=False)

    @property
    def order(self) -> int:
        return len(self.fixed) + sum(target.order for target in self.targets)

    @property
    def name(self) -> str:
        over = "".join(
            i if bounds == (0, self.family_count) else f"{i}[{bounds[0] + 1}..{bounds[1]}]"
            for i, bounds in zip(self.indices, self.bounds, strict=True)
        )
        targets = "".join(
            (t.index if not t.offset else f"({t.index}{t.offset:+d})") * t.order
            for t in self.targets
        )
        coefficient = "" if self.coefficient == Number(1) else f"({render(self.coefficient)})*"
        return f"sum_{over}_{coefficient}u_{self.fixed_label}{targets}"


def free(node: Node) -> frozenset[str]:
    """The indices in a node that nothing in it binds."""
    match node:
        case Entry(index) | GradientEntry(index=index):
            return frozenset({index})
        case Parameter(places=places):
            return frozenset(place.index for place in places if place.index)
        case Sum(index, _, body) | Drift(index, body) | Extreme(index=index, body=body):
            return free(body) - {index}
        case SumOfPartials(indices=indices, targets=targets, coefficient=coefficient):
            found = free(coefficient) | {target.index for target in targets}
            return found - set(indices)
    return frozenset().union(*map(free, node.children))


def index_lists(node: Node) -> frozenset[str]:
    """The parameters that entries of the point or of other parameters are read through."""
    found: set[str] = set()
    for part in node.walk():
        places = part.places if isinstance(part, Parameter) else ()
        places += (part,) if isinstance(part, Entry) else ()
        found |= {place.through.name for place in places if place.through}
    return frozenset(found)


def contains(node: Node, kinds: type[Node] | tuple[type[Node], ...]) -> bool:
    """Whether a node of these kinds is in `node`."""
    return any(isinstance(part, kinds) for part in node.walk())


def derivatives(node: Node) -> tuple[Derivative, ...]:
    """The distinct derivatives of u in an expression, in order of appearance."""
    return tuple(dict.fromkeys(part for part in node.walk() if isinstance(part, Derivative)))


def render(node: Node) -> str:
    """The expression as text, on one line."""
    match node:
        case Number(value):
            return repr(value) if value >= 0 else f"({value!r})"
        case Parameter(name, places):
            return f"{name}[{', '.join(map(_place, places))}]" if places else name
        case Coordinate(label=label):
            return label
        case Entry(index, offset, family, through):
            return f"{family}[{_place(Place(index, offset, through))}]"
        case Unknown():
            return "u"
        case Source():
            return "f"
        case Add(terms):
            return f"({' + '.join(map(render, terms))})"
        case Multiply(factors):
            return "*".join(map(render, factors))
        case Divide(a, b):
            return f"({render(a)})/({render(b)})"
        case Power(a, b):
            return f"({render(a)})**({render(b)})"
        case Function(name, arguments):
            return f"{name}({', '.join(map(render, arguments))})"
        case Sum(index, (start, stop), body):
            return f"sum({index}={start + 1}..{stop}, {render(body)})"
        case Extreme(name, index, (start, stop), body):
            return f"{name}({index}={start + 1}..{stop}, {render(body)})"
        case GradientEntry(field, index):
            return f"grad({render(field)})[{index}]"
        case Derivative():
            return node.name
    raise TypeError(type(node).__name__)


def _place(place: Place) -> str:
    if place.index is None:
        number = str(place.offset + 1)
    else:
        number = place.index + (f"{place.offset:+d}" if place.offset else "")
    return f"{place.through.name}[{number}]" if place.through else number
