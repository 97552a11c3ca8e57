"""An expression of the point alone, as a scalar field that restricts itself cheaply.

The expression is seen as a function E(z) of its atoms z: the coordinates it names and its outermost
sums, a handful of numbers however many entries a point has. Each atom is then differentiated, or
moved, in its own way, and E by the chain rule.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from stde_cli.autodiff.directions import AbstractDirections
from stde_cli.autodiff.restriction import sum_in_blocks
from stde_cli.expressions.algebra import window
from stde_cli.expressions.evaluation import Lane, Reading, as_arrays
from stde_cli.expressions.gathering import gather
from stde_cli.expressions.layout import Layout
from stde_cli.expressions.nodes import (
    Coordinate,
    Entry,
    Extreme,
    Node,
    Parameter,
    Sum,
    free,
    index_lists,
)
from stde_cli.expressions.parser import parse
from stde_cli.system.types import Point, RestrictedField, Scalar

Atom: TypeAlias = Coordinate | Sum | Extreme
Triple: TypeAlias = tuple[Scalar, Float[Array, " over"], Scalar]
"""A value, its gradient and its Laplacian over some coordinates."""


class Field(eqx.Module):
    """u(x), given as text."""

    parameters: dict[str, Array]
    inverses: dict[str, "Inverse"]
    """Where each index list names an entry."""
    node: Node = eqx.field(static=True)
    layout: Layout = eqx.field(static=True)

    def __init__(self, node: Node, layout: Layout, parameters: Mapping[str, Any]):
        """`node` is what `parse` gives where neither u nor f is allowed."""
        node, layout, lists = gather(node, layout)
        parameters = {**parameters, **lists}
        used = {part.name for part in node.walk() if isinstance(part, Parameter)}
        used |= index_lists(node)
        self.parameters = as_arrays({name: parameters[name] for name in sorted(used)}, node)
        entries = (part for part in node.walk() if isinstance(part, Entry))
        through = {entry.through.name for entry in entries if entry.through}
        count = len(layout.family_range)
        self.inverses = {name: Inverse(parameters[name], count) for name in sorted(through)}
        self.node, self.layout = node, layout

    @classmethod
    def parse(
        cls,
        text: str | int | float,
        layout: Layout,
        parameters: Mapping[str, Any],
        *,
        where: str,
    ) -> "Field":
        """Read a field; errors are those of `parse`."""
        return cls(parse(text, layout, parameters, where=where), layout, parameters)

    def __call__(self, x: Point) -> Scalar:
        return self._reading(x).value(self.node)

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        """g(s) = u(x + V s).

        Along coordinates, each sum is evaluated once, here; g evaluates anew the terms that the
        moved coordinates are in. Along dense directions, or where a term holds more than a window
        of the family, such as t within sum(i, sin(x[i] - t)), g evaluates all terms, some at a
        time. A sum within a sum that is no factor is evaluated at x + V s.
        """
        restriction = _Restriction(self._reading(x), directions, self.inverses)
        atoms = {atom: restriction.atom(atom) for atom in _atoms(self.node)}

        def g(s: Float[Array, " directions"]) -> Scalar:
            known: dict[Node, Array] = {atom: value(s) for atom, value in atoms.items()}
            return self._reading(x, known).value(self.node)

        return g

    def value_gradient_laplacian(self, x: Point, over: range) -> Triple:
        """u, its gradient and its Laplacian in the coordinates at positions `over`, exactly.

        O(dim x window) where sums are of windows; a sum within a sum that is no product costs
        O(dim^2) for its Hessian.
        """
        if over.step != 1:
            raise ValueError("the positions must follow each other")
        return _triple(self.node, self._reading(x), over)

    def _reading(self, x: Point, known: Mapping[Node, Array] | None = None) -> Reading:
        return Reading(self.layout, self.parameters, x, known=known or {})


class Inverse(eqx.Module):
    """The places of an index list at which it holds each number."""

    order: Int[Array, " places"]
    """The places, in the order of what they hold."""
    start: Int[Array, " entries+1"]
    """Where in `order` the places of each number begin."""
    most: int = eqx.field(static=True)
    """At how many places a number is held at most."""

    def __init__(self, listed: Any, entries: int):
        numbers = np.asarray(listed) - 1
        held = np.bincount(numbers, minlength=entries)
        self.order = jnp.asarray(np.argsort(numbers, kind="stable"), int)
        self.start = jnp.asarray(np.concatenate([[0], np.cumsum(held)]), int)
        self.most = int(held.max())

    def places(self, numbers: Int[Array, " n"]) -> tuple[Int[Array, "m n"], Bool[Array, "m n"]]:
        """Up to `most` places of each number, counted from 0, and which of them there are."""
        inside = (numbers >= 0) & (numbers < self.start.size - 1)
        number = jnp.where(inside, numbers, 0)
        rank = self.start[number] + jnp.arange(self.most)[:, None]
        there = inside & (rank < self.start[number + 1])
        return self.order[jnp.where(there, rank, 0)], there


def _atoms(node: Node) -> tuple[Atom, ...]:
    """The coordinates and closed sums that a node is a function of, outermost alone."""
    found: dict[Atom, None] = {}

    def visit(part: Node) -> None:
        if isinstance(part, Coordinate) or (isinstance(part, Sum | Extreme) and not free(part)):
            found[part] = None
            return
        for child in part.children:
            visit(child)

    visit(node)
    return tuple(found)


def _is_window_sum(node: Sum) -> bool:
    """Whether the terms hold no sum over another index that goes with this one."""
    return not any(isinstance(part, Sum) and free(part) for part in node.body.walk())


# Differentiation.


def _triple(node: Node, at: Reading, over: range) -> Triple:
    """The value, gradient and Laplacian of a closed expression."""
    atoms = _atoms(node)

    def function(z: Float[Array, " atoms"]) -> Scalar:
        known: dict[Node, Array] = dict(zip(atoms, z, strict=True))
        return Reading(at.layout, at.parameters, at.x, known=known).value(node)

    return _composed(function, [_atom_triple(atom, at, over) for atom in atoms], at.x, over)


def _composed(
    function: Callable[[Float[Array, " arguments"]], Scalar],
    triples: Sequence[Triple],
    x: Point,
    over: range,
) -> Triple:
    """The triple of a function of others, by the chain rule."""
    values = jnp.array([v for v, _, _ in triples], x.dtype)
    value = function(values)
    if not triples:
        return value, jnp.zeros(len(over), x.dtype), jnp.zeros_like(value)
    slopes, curvatures = jax.grad(function)(values), jax.hessian(function)(values)
    gradients = jnp.stack([g for _, g, _ in triples])
    laplacians = jnp.stack([lap for _, _, lap in triples])
    gram = gradients @ gradients.T
    return value, slopes @ gradients, slopes @ laplacians + jnp.sum(curvatures * gram)


def _atom_triple(atom: Atom, at: Reading, over: range) -> Triple:
    if isinstance(atom, Coordinate):
        gradient = jnp.zeros(len(over), at.x.dtype)
        if atom.position in over:
            gradient = gradient.at[atom.position - over.start].set(1)
        return at.x[atom.position], gradient, jnp.zeros((), at.x.dtype)
    if isinstance(atom, Extreme):
        return _extreme_triple(atom, at, over)
    if not _is_window_sum(atom):
        return _dense_triple(atom, at, over)
    return _sum_triple(atom, at, over)


def _dense_triple(node: Node, at: Reading, over: range) -> Triple:
    span = slice(over.start, over.stop)

    def function(y: Float[Array, " over"]) -> Scalar:
        x = at.x.at[span].set(y)
        return Reading(at.layout, at.parameters, x).value(node)

    y = at.x[span]
    value, gradient = jax.value_and_grad(function)(y)
    return value, gradient, jnp.trace(jax.hessian(function)(y))


def _extreme_triple(node: Extreme, at: Reading, over: range) -> Triple:
    """That of the term which is the largest, or the smallest: what happens at a kink is left out.

    Where several are, it is the first of them.
    """
    terms = at.terms(node)
    best = jnp.argmax(terms) if node.name == "max" else jnp.argmin(terms)
    inner = at.bound(node.index, Lane(0, 0, 0, node.bounds[0] + best[None]))
    entries, atoms = window(node.body, node.index), _atoms(node.body)
    first = at.layout.family_range.start

    def entry_triple(entry: Entry) -> Triple:
        place = first + inner.numbers(entry)[0] - over.start
        place = jnp.where(place < 0, len(over), place)
        one = jnp.zeros(len(over), at.x.dtype).at[place].set(1, mode="drop")
        return inner.value(entry)[0], one, jnp.zeros((), at.x.dtype)

    def function(z: Float[Array, " arguments"]) -> Scalar:
        known: dict[Node, Array] = {e: z[k][None] for k, e in enumerate(entries)}
        known |= dict(zip(atoms, z[len(entries) :], strict=True))
        return jnp.ravel(replace(inner, known=known).value(node.body))[0]

    triples = [entry_triple(entry) for entry in entries]
    triples += [_atom_triple(atom, at, over) for atom in atoms]
    return _composed(function, triples, at.x, over)


def _sum_triple(node: Sum, at: Reading, over: range) -> Triple:
    """The triple of a sum of term(y, z): y its window's entries, z the atoms within it.

    All arguments are arrays over the terms, and a term depends on its own entries of them alone:
    one product with ones gives the derivative in an argument for every term.
    """
    entries, atoms = window(node.body, node.index), _atoms(node.body)
    triples = [_atom_triple(atom, at, over) for atom in atoms]
    start, stop = node.bounds
    inner = at.bound(node.index, Lane(start, stop, 0))
    columns = [_Column(entry, inner, over) for entry in entries]

    def terms(*arguments: Array) -> Array:
        known: dict[Node, Array] = dict(zip((*entries, *atoms), arguments, strict=True))
        reading = Reading(at.layout, at.parameters, at.x, known=known, lanes=inner.lanes, depth=1)
        return jnp.broadcast_to(reading.value(node.body), (stop - start,))

    arguments = [inner.value(entry) for entry in entries]
    arguments += [jnp.full(stop - start, v) for v, _, _ in triples]

    def along(function: Callable[..., Array], k: int) -> Callable[..., Array]:
        def derivative(*arguments: Array) -> Array:
            one_hot = [jnp.zeros_like(a) for a in arguments]
            one_hot[k] = jnp.ones_like(arguments[k])
            return jax.jvp(function, arguments, tuple(one_hot))[1]

        return derivative

    value = jnp.sum(terms(*arguments))
    gradient = jnp.zeros(len(over), at.x.dtype)
    laplacian = jnp.zeros((), at.x.dtype)
    for k, column in enumerate(columns):
        if column.is_outside:
            continue
        slope = along(terms, k)
        gradient += column.spread(slope(*arguments))
        laplacian += jnp.sum(column.spread(along(slope, k)(*arguments)))
        for m, other in enumerate(columns[:k]):
            if column.may_coincide(other):
                both = column.positions == other.positions
                mixed = jnp.where(both, along(slope, m)(*arguments), 0)
                laplacian += 2 * jnp.sum(column.spread(mixed))
        for m, (_, atom_gradient, _) in enumerate(triples, len(columns)):
            laplacian += 2 * column.spread(along(slope, m)(*arguments)) @ atom_gradient
    for m, (_, atom_gradient, atom_laplacian) in enumerate(triples, len(columns)):
        slope = along(terms, m)
        total = jnp.sum(slope(*arguments))
        gradient += total * atom_gradient
        laplacian += total * atom_laplacian
        for n, (_, other_gradient, _) in enumerate(triples, len(columns)):
            curvature = jnp.sum(along(slope, n)(*arguments))
            laplacian += curvature * (atom_gradient @ other_gradient)
    return value, gradient, laplacian


class _Column:
    """One entry of every term's window, where terms are differentiated in coordinates `over`."""

    def __init__(self, entry: Entry, inner: Reading, over: range):
        self.entry, self.over = entry, over
        lane, first = inner.lanes[entry.index], inner.layout.family_range.start
        self.span = range(first + lane.start + entry.offset, first + lane.stop + entry.offset)
        self.positions = first + inner.numbers(entry)

    @property
    def inside(self) -> range:
        """The part of the span that is differentiated in."""
        return range(max(self.span.start, self.over.start), min(self.span.stop, self.over.stop))

    @property
    def is_outside(self) -> bool:
        return self.entry.through is None and not self.inside

    def may_coincide(self, other: "_Column") -> bool:
        """Whether a term may read one coordinate in both columns."""
        if self.entry.through == other.entry.through:
            return self.entry.through is not None and not self.entry.through.distinct
        return True

    def spread(self, values: Float[Array, " terms"]) -> Float[Array, " over"]:
        """The sum of the terms' values at each coordinate."""
        zeros, start = jnp.zeros(len(self.over), values.dtype), self.over.start
        if self.entry.through is None:
            a, b = self.inside.start, self.inside.stop
            return zeros.at[a - start : b - start].add(
                values[a - self.span.start : b - self.span.start]
            )
        place = self.positions - start
        return zeros.at[jnp.where(place < 0, len(self.over), place)].add(values, mode="drop")


# Restriction.

Moving: TypeAlias = Callable[[Array], Array]
"""The value of an atom at x + V s, from s."""

_Terms: TypeAlias = tuple[Int[Array, " terms"], Bool[Array, " terms"], list[Array]]
"""Numbers of terms, which of them count, and the entries of their windows."""


class _Restriction:
    """What becomes of an expression's atoms as the point moves along some directions."""

    def __init__(
        self, at: Reading, directions: AbstractDirections, inverses: Mapping[str, Inverse]
    ):
        self.at, self.directions, self.inverses = at, directions, inverses

    def atom(self, atom: Atom) -> Moving:
        if isinstance(atom, Coordinate):
            return self.coordinate(atom)
        if isinstance(atom, Extreme):
            return self.extreme(atom)
        if not _is_window_sum(atom):
            return self.whole(atom)
        if not window(atom.body, atom.index) and not _atoms(atom.body):
            total = self.at.value(atom)
            return lambda s: total
        return self.window_sum(atom)

    def coordinate(self, atom: Coordinate) -> Moving:
        here = self.at.x[atom.position]
        pull = self.directions.at(jnp.array([atom.position]))[:, 0]
        return lambda s: here + s @ pull

    def whole(self, atom: Sum | Extreme) -> Moving:
        def value(s: Array) -> Array:
            x = self.directions.displace(self.at.x, s)
            return Reading(self.at.layout, self.at.parameters, x).value(atom)

        return value

    def window_sum(self, atom: Sum) -> Moving:
        """S(x) + sum over touched terms of term(x + V s) - term(x)."""
        at, directions, (start, stop) = self.at, self.directions, atom.bounds
        entries, first = window(atom.body, atom.index), at.layout.family_range.start
        inner: dict[Node, Moving] = {part: self.atom(part) for part in _atoms(atom.body)}
        # Where one coordinate is in all terms, all of them move with it.
        touched = None if inner else self.touched(entries, start, stop, first)
        lane = Lane(start, stop, 0, None if touched is None else touched[0])
        still = [at.bound(atom.index, lane).value(entry) for entry in entries]
        every = jnp.arange(start, stop), jnp.ones(stop - start, bool)

        def moved(s: Array) -> Array:
            around = {part: moving(s) for part, moving in inner.items()}

            def terms(inside: Bool[Array, " terms"], rows: _Terms) -> Scalar:
                numbers, counts, still = rows
                lanes = {atom.index: Lane(start, stop, 0, numbers)}
                reading = Reading(at.layout, at.parameters, at.x, lanes=lanes, depth=1)
                known = dict(around)
                for entry, here in zip(entries, still, strict=True):
                    known[entry] = here + s @ directions.at(first + reading.numbers(entry))
                values = replace(reading, known=known).value(atom.body)
                return jnp.sum(jnp.where(inside & counts, values, 0))

            return sum_in_blocks(terms, (*(touched or every), still), s.size)

        if touched is None:
            return moved
        rest = at.value(atom) - moved(jnp.zeros(directions.weights.size, at.x.dtype))
        return lambda s: rest + moved(s)

    def extreme(self, atom: Extreme) -> Moving:
        """The best of the terms that stay, found once, and of those that move."""
        at, directions, (start, stop) = self.at, self.directions, atom.bounds
        entries, first = window(atom.body, atom.index), at.layout.family_range.start
        touched = None if _atoms(atom.body) else self.touched(entries, start, stop, first)
        if touched is None:
            return self.whole(atom)
        numbers, counts = touched
        inner = at.bound(atom.index, Lane(start, stop, 0, numbers))
        stays = jnp.ones(stop - start, bool)
        stays = stays.at[jnp.where(counts, numbers - start, stop - start)].set(False, mode="drop")
        is_max = atom.name == "max"
        worst, better = (-jnp.inf, jnp.maximum) if is_max else (jnp.inf, jnp.minimum)
        staying = jnp.where(stays, at.terms(atom), worst)
        rest = jnp.max(staying) if is_max else jnp.min(staying)
        still = [inner.value(entry) for entry in entries]
        pulls = [directions.at(first + inner.numbers(entry)) for entry in entries]

        def moved(s: Array) -> Array:
            known: dict[Node, Array] = {
                entry: here + s @ pull
                for entry, here, pull in zip(entries, still, pulls, strict=True)
            }
            values = replace(inner, known=known).value(atom.body)
            # One after another: comparing two is what every kind of differentiation knows.
            listed = [jnp.where(counts[k], values[k], worst) for k in range(numbers.size)]
            return reduce(better, listed, rest)

        return moved

    def touched(
        self, entries: tuple[Entry, ...], start: int, stop: int, first: int
    ) -> tuple[Int[Array, " terms"], Bool[Array, " terms"]] | None:
        """Numbers of terms, and which of them count: each moved term does exactly once.

        None where they are not fewer than all terms.
        """
        moved = self.directions.moved
        most = sum(self.inverses[e.through.name].most if e.through else 1 for e in entries)
        if moved is None or moved.size * most >= stop - start:
            return None
        numbers = jnp.concatenate([self.reading(entry, moved - first, stop) for entry in entries])
        numbers = jnp.sort(numbers)
        fresh = jnp.concatenate([jnp.ones(1, bool), numbers[1:] != numbers[:-1]])
        counted = fresh & (numbers >= start) & (numbers < stop)
        # A number that does not count still has to be that of a term: it is evaluated all the same.
        return jnp.clip(numbers, start, stop - 1), counted

    def reading(
        self, entry: Entry, numbers: Int[Array, " directions"], nowhere: int
    ) -> Int[Array, " terms"]:
        """The terms whose `entry` is one of the family's with these numbers, or `nowhere`."""
        if entry.through is None:
            return numbers - entry.offset
        places, there = self.inverses[entry.through.name].places(numbers)
        return jnp.where(there, places - entry.offset, nowhere).ravel()
