"""The value of an expression at a point.

A value within k sums is an array whose last k axes belong to their indices, the innermost first:
an index reads slices of the point, and a sum is one reduction. A sum costs O(numbers x window);
sums within sums that are no product of sums cost the product of their lengths.
"""

import functools
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import erf
from jaxtyping import Array, Float, Int, Shaped

from stde_cli.expressions.layout import Layout
from stde_cli.expressions.nodes import (
    Add,
    Coordinate,
    Derivative,
    Divide,
    Entry,
    Extreme,
    Function,
    GradientEntry,
    IndexList,
    Multiply,
    Node,
    Number,
    Parameter,
    Place,
    Power,
    Source,
    Sum,
    SumOfPartials,
    Unknown,
    index_lists,
)
from stde_cli.system.types import Point, Scalar

_LARGEST_INTEGER_POWER = 64
"""Whole powers up to here are products, beyond they are exp(n log|x|) with the sign put right."""


def _sech(x: Array) -> Array:
    # 1/cosh overflows in single precision from 89 on. A branch rather than abs: whichever side 0
    # falls on, all derivatives are right there.
    decay = jnp.exp(jnp.where(x >= 0, -x, x))
    return 2 * decay / (1 + decay**2)


def _step(a: Array, b: Array) -> Array:
    return jnp.heaviside(a - b, 0.5)


_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "sin": jnp.sin,
    "cos": jnp.cos,
    "tan": jnp.tan,
    "sinh": jnp.sinh,
    "cosh": jnp.cosh,
    "tanh": jnp.tanh,
    "sech": _sech,
    "exp": jnp.exp,
    "log": jnp.log,
    "sqrt": jnp.sqrt,
    "abs": jnp.abs,
    "arctan": jnp.arctan,
    "erf": erf,
    "min": jnp.minimum,
    "max": jnp.maximum,
    "sign": jnp.sign,
    "step": _step,
}


@dataclass(frozen=True)
class Lane:
    """What an index stands for: numbers from `start` to `stop`, or those in `numbers`."""

    start: int
    stop: int
    depth: int
    numbers: Int[Array, " numbers"] | None = None

    def take(self, values: Shaped[Array, " entries"], offset: int) -> Array:
        """The entry at each number plus `offset`."""
        if self.numbers is not None:
            return self.shaped(values[self.numbers + offset])
        return self.shaped(values[self.start + offset : self.stop + offset])

    def positions(self, offset: int) -> Array:
        numbers = jnp.arange(self.start, self.stop) if self.numbers is None else self.numbers
        return self.shaped(numbers + offset)

    def shaped(self, values: Array) -> Array:
        return values.reshape(-1, *(1,) * self.depth)


@dataclass(frozen=True)
class Reading:
    """All that the value of an expression depends on.

    `known` holds values that are not to be computed, of coordinates, entries and sums; `depth` is
    how many indices are bound.
    """

    layout: Layout
    parameters: Mapping[str, Any]
    x: Point
    u: Any = None
    f: Any = None
    derivatives: Mapping[Derivative, Any] = field(default_factory=dict)
    known: Mapping[Node, Array] = field(default_factory=dict)
    lanes: Mapping[str, Lane] = field(default_factory=dict)
    depth: int = 0

    def bound(self, index: str, lane: Lane) -> "Reading":
        """The same with an index bound, one level deeper."""
        return replace(self, lanes={**self.lanes, index: lane}, depth=self.depth + 1)

    def parameter(self, name: str) -> Array:
        return jnp.asarray(self.parameters[name], self.x.dtype)

    def value(self, node: Node) -> Array:
        """The node's value: a scalar, or an array over the indices that are bound."""
        match node:
            case Number(value):
                return jnp.asarray(value, self.x.dtype)
            case Coordinate(position):
                return self.known[node] if node in self.known else self.x[position]
            case Entry(index, offset, _, through):
                if node in self.known:
                    return self.known[node]
                span, lane = self.layout.family_range, self.lanes[index]
                family = self.x[span.start : span.stop]
                if through:
                    return family[self._listed(through, lane, offset)]
                return lane.take(family, offset)
            case Parameter():
                return self._parameter(node)
            case Unknown():
                return _given(self.u, "u")
            case Source():
                return _given(self.f, "f")
            case Derivative():
                return _given(self.derivatives.get(node), node.name)
            case Add(terms):
                return functools.reduce(operator.add, map(self.value, terms))
            case Multiply(factors):
                return functools.reduce(operator.mul, map(self.value, factors))
            case Divide(a, b):
                return self.value(a) / self.value(b)
            case Power(a, b):
                return self._power(self.value(a), b)
            case Function(name, arguments):
                return _FUNCTIONS[name](*map(self.value, arguments))
            case Sum():
                return self.known[node] if node in self.known else self._sum(node)
            case Extreme(name):
                if node in self.known:
                    return self.known[node]
                terms = self.terms(node)
                return jnp.max(terms, axis=0) if name == "max" else jnp.min(terms, axis=0)
            case GradientEntry(field, index):
                return self.lanes[index].take(self._gradient(field), 0)
        raise TypeError(type(node).__name__)

    def terms(self, node: Sum | Extreme) -> Array:
        """What is summed or compared, along the first axis."""
        start, stop = node.bounds
        values = self.bound(node.index, Lane(start, stop, self.depth)).value(node.body)
        return jnp.broadcast_to(values, (stop - start, *values.shape[1:]))

    def _sum(self, node: Sum) -> Array:
        return jnp.sum(self.terms(node), axis=0)

    def _power(self, base: Array, exponent: Node) -> Array:
        match exponent:
            case Number(value) if value == int(value) and abs(value) <= _LARGEST_INTEGER_POWER:
                return base ** int(value)
        return base ** self.value(exponent)

    def _parameter(self, node: Parameter) -> Array:
        values, places = self.parameter(node.name), node.places
        if not places:
            return values
        if len(places) == 1 and places[0].index and not places[0].through:
            return self.lanes[places[0].index].take(values, places[0].offset)
        return values[tuple(map(self._number, places))]

    def _number(self, place: Place) -> Int[Array, "..."] | int:
        """The number that a place stands for, from 0, or those along its index."""
        if place.index is None:
            return place.offset
        lane = self.lanes[place.index]
        if place.through is None:
            return lane.positions(place.offset)
        return self._listed(place.through, lane, place.offset)

    def _listed(self, through: IndexList, lane: Lane, offset: int) -> Int[Array, "..."]:
        """The numbers, from 0, that an index list holds along a lane."""
        return lane.take(jnp.asarray(self.parameters[through.name], int), offset) - 1

    def numbers(self, entry: Entry) -> Int[Array, " numbers"]:
        """The numbers of the family's entries, from 0, that an entry stands for along its lane."""
        return jnp.ravel(jnp.asarray(self._number(Place(entry.index, entry.offset, entry.through))))

    def _gradient(self, field: Node) -> Float[Array, " space"]:
        def value(x: Point) -> Scalar:
            return replace(self, x=x, lanes={}, depth=0).value(field)

        gradient, space = jax.grad(value)(self.x), self.layout.space
        if isinstance(space, range):
            return gradient[space.start : space.stop]
        return gradient[jnp.asarray(space)]


def as_arrays(parameters: Mapping[str, Any], *nodes: Node) -> dict[str, Array]:
    """Floats, but for the lists that the expressions take numbers of entries from."""
    listed = frozenset().union(*map(index_lists, nodes))
    return {k: jnp.asarray(v, int if k in listed else float) for k, v in parameters.items()}


def _given(value: Any, name: str) -> Array:
    if value is None:
        raise ValueError(f"the expression holds {name}, and no value was given for it")
    return value


def evaluate(
    node: Node,
    layout: Layout,
    parameters: Mapping[str, Any],
    x: Point,
    *,
    u: Scalar | None = None,
    f: Scalar | None = None,
    derivatives: Mapping[Derivative, Scalar] | None = None,
) -> Scalar:
    """The value of an expression at x, in the precision of x.

    Args:
        derivatives: the value of each of `derivatives(node)`.

    Raises:
        ValueError: the expression holds u, f or a derivative that is not given.
    """
    reading = Reading(layout, parameters, x, u, f, derivatives or {})
    return jnp.asarray(reading.value(node), x.dtype)


def evaluate_vector(
    node: Node,
    index: str,
    layout: Layout,
    parameters: Mapping[str, Any],
    x: Point,
    *,
    u: Scalar | None = None,
) -> Float[Array, " space"]:
    """A vector over `Layout.space`, of a `Drift`'s `vector` and `index`: one entry for each."""
    size = len(layout.space)
    reading = Reading(layout, parameters, x, u).bound(index, Lane(0, size, 0))
    return jnp.broadcast_to(reading.value(node), (size,)).astype(x.dtype)


def coefficient_at(
    node: SumOfPartials,
    layout: Layout,
    parameters: Mapping[str, Any],
    x: Point,
    numbers: Mapping[str, Int[Array, " terms"]],
    *,
    u: Scalar | None = None,
) -> Float[Array, " terms"]:
    """The coefficients of some terms of a sum of partials.

    Args:
        numbers: for each of the sum's indices its number in each term, from 0; the numbers may be
            traced.
    """
    lanes = {index: Lane(0, 0, 0, values) for index, values in numbers.items()}
    terms = next(iter(numbers.values())).shape
    # The terms share one axis, so sums within the coefficient are one level deep, not several.
    reading = Reading(layout, parameters, x, u, lanes=lanes, depth=1)
    return jnp.broadcast_to(reading.value(node.coefficient), terms).astype(x.dtype)
