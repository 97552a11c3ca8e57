"""Sums over windows of coordinates of small polynomials, with a readout per position.

Neighbours are in a window, or those that are told.

What a fully connected network of fixed width cannot hold in many dimensions: a function that is
near a sum of terms in a few neighbours each has a quadratic part of rank dim, a network of width h
one of rank h at most.
"""

from collections.abc import Sequence
from functools import reduce
from itertools import combinations_with_replacement, product
from operator import add, sub
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from stde_cli.ansatz.factors import (
    AbstractFactors,
    Change,
    Term,
    Values,
    changed,
    differentiated,
    displaced,
    factors_at,
    multiplied,
)
from stde_cli.ansatz.partners import Partners
from stde_cli.autodiff.directions import AbstractDirections
from stde_cli.autodiff.restriction import sum_in_blocks
from stde_cli.problem.domains import Circles
from stde_cli.problem.operators import Triple
from stde_cli.system.types import Point, RestrictedField, Scalar

_Rows: TypeAlias = tuple[
    Int[Array, " rows"], list[tuple[Float[Array, " rows"], ...]], Float[Array, "rows terms"]
]
"""Windows: their numbers, what is seen of their members at each offset, and their readouts."""


class WindowPolynomials(eqx.Module):
    """sum_f shared[f] p_f(t) + sum_f sum_m readout[f, m] p_f(t, x_m, ..., x_{m + window - 1}).

    The p_f are the monomials up to `degree` in the single coordinates t and in a window of the
    family x. Those of a window hold its first coordinate, so that none occurs twice, and a window
    that hangs over the end of the family holds zeros there. O(dim) numbers; the value, the gradient
    and the Laplacian each cost O(dim).

    With `partners` window m holds x_m and its partners, of which there are `window` - 1 at most.
    Of a coordinate that is one of `circles` a monomial holds a sine or cosine in place of a power,
    such as cos 2a in place of x^2: the p_f are polynomials in sines and cosines of it.

    Raises:
        ValueError: the window holds no coordinate.
    """

    shared: Float[Array, " shared"]
    readout: Float[Array, "terms family"]
    single: tuple[int, ...] = eqx.field(static=True)
    """Positions of the single coordinates in a point."""
    family: tuple[int, int] = eqx.field(static=True)
    """Positions of the family: from the first to before the second."""
    window: int = eqx.field(static=True)
    degree: int = eqx.field(static=True)
    partners: Partners | None
    circles: tuple[Circles, ...] = eqx.field(static=True)
    """Periodic coordinates: the family as a whole, and single ones."""

    def __init__(
        self,
        family: range,
        *,
        single: Sequence[int] = (),
        window: int,
        degree: int,
        partners: Partners | None = None,
        circles: tuple[Circles, ...] = (),
    ):
        if window < 1:
            raise ValueError(f"a window of {window} coordinates is empty")
        self.single, self.family = tuple(single), (family.start, family.stop)
        self.window, self.degree, self.partners = window, degree, partners
        self.circles = circles
        shared, windowed = self._terms()
        self.shared = jnp.zeros(len(shared))
        self.readout = jnp.zeros((len(windowed) if len(family) else 0, len(family)))

    def __call__(self, x: Point) -> Scalar:
        shared, windows = self._sums(self._values(self._seen(x)))
        return shared + jnp.sum(windows)

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        """p(x + V s) by Taylor's formula in the displacement V s, which ends at `degree`.

        The coefficients belong to the point alone and the powers of V s to the directions alone:
        they meet in products of matrices, and no point is displaced. So it is for sines and
        cosines, by the addition theorem.
        """
        (start, stop), count, kinds = self.family, len(self.single), self._kinds
        everywhere = self._seen(x)
        touched = self._touched_windows(directions)
        if touched is None:
            rows = jnp.arange(stop - start), everywhere[count:], self.readout.T
        else:
            numbers, share = touched
            family = jnp.pad(x[start:stop], (0, self.window))
            members = []
            for k, kind in enumerate(kinds[count:]):
                member = self._member(numbers, k)
                inside = member < stop - start
                members.append(tuple(seen * inside for seen in kind.seen(family[member])))
            rows = numbers, members, (self.readout[:, numbers] * share).T
        pulls = [directions.at(jnp.array([position]))[:, 0] for position in self.single]
        single_values = self._values(everywhere[:count])
        still = self._of_singles(self._values(everywhere))

        def along(s: Float[Array, " directions"]) -> Scalar:
            single = [
                kind.shifts(s @ pull, self.degree) for kind, pull in zip(kinds, pulls, strict=False)
            ]

            def moved(counted: Bool[Array, " rows"], rows: _Rows) -> Scalar:
                numbers, members, readout = rows
                values = [*single_values, *self._values(members, count)]
                coefficients = self._coefficients(values, readout.T)
                shifts = [[jnp.broadcast_to(t, numbers.shape) for t in own] for own in single]
                for offset in range(self.window):
                    # What hangs over the end of the family stays zero, whatever comes after it.
                    member = self._member(numbers, offset)
                    inside = counted & (member < stop - start)
                    shift = s @ (directions.at(start + member) * inside)
                    shifts.append(kinds[count + offset].shifts(shift, self.degree))
                return _sum_of_products(coefficients, shifts)

            terms = (c * multiplied(shift, single) for shift, c in still.items())
            return sum(terms, sum_in_blocks(moved, rows, s.size))

        return along

    def value_gradient_laplacian(self, x: Point, over: range) -> Triple:
        values, start, stop = self._values(self._seen(x)), *self.family
        shared, windows = self._sums(values)
        value, gradient, laplacian = shared + jnp.sum(windows), jnp.zeros_like(x), 0 * shared
        for k, position in enumerate(self.single):
            slope, curvature = (self._sums(values, self._pure(k, order)) for order in (1, 2))
            gradient = gradient.at[position].set(slope[0] + jnp.sum(slope[1]))
            if position in over:
                laplacian = laplacian + curvature[0] + jnp.sum(curvature[1])
        members = np.arange(start, stop)
        asked = jnp.asarray((members >= over.start) & (members < over.stop), x.dtype)
        slopes = []
        for offset in range(min(self.window, stop - start)):
            # Entry m is the derivative of window m in its coordinate at this offset.
            slope, curvature = (
                self._windows(values, self.readout, self._pure(len(self.single) + offset, order))
                for order in (1, 2)
            )
            slopes.append(slope)
            if self.partners is None:
                laplacian = laplacian + curvature[: stop - start - offset] @ asked[offset:]
            else:
                member = self._member(jnp.arange(stop - start), offset)
                laplacian = laplacian + curvature @ _taken(jnp.pad(asked, (0, 1)), member)
        gradient = gradient.at[start:stop].set(self._gathered(slopes))
        return value, gradient[over.start : over.stop], laplacian

    @property
    def degrees(self) -> tuple[Int[Array, " shared"], Int[Array, " terms"]]:
        """The degree of each shared term, and of each of a window's."""
        shared, windowed = self._terms()
        windowed = windowed[: len(self.readout)]
        return self._degrees_of(shared), self._degrees_of(windowed)

    def _degrees_of(self, terms: Sequence[Term]) -> Int[Array, " terms"]:
        return jnp.array([sum(map(_degree, self._kinds, term)) for term in terms], int)

    @property
    def _kinds(self) -> list[AbstractFactors]:
        """Of factors: of the single coordinates, and of one at each offset of a window."""
        single = [factors_at(position, self.circles) for position in self.single]
        return [*single, *[factors_at(self.family[0], self.circles)] * self.window]

    def _member(self, numbers: Int[Array, " windows"], offset: int) -> Int[Array, " windows"]:
        """The coordinate at that offset in windows of these numbers; those beyond: none."""
        if self.partners is None or not offset:
            return numbers + offset
        return self.partners.members[numbers, offset - 1]

    def _gathered(self, slopes: list[Float[Array, " family"]]) -> Float[Array, " family"]:
        """By coordinate what is given by window, for the coordinate at each offset of it."""
        if not slopes:
            return jnp.zeros(self.family[1] - self.family[0], self.readout.dtype)
        if self.partners is None:
            count = len(slopes[0])
            moved = (jnp.pad(s[: count - k], (k, 0)) for k, s in enumerate(slopes))
            return reduce(add, moved)
        # None is the last one, whose slope is zero.
        others = jnp.concatenate([*slopes[1:], jnp.zeros_like(slopes[0][:1])])
        held = (_taken(others, numbers) for numbers in self.partners.holders.T)
        return reduce(add, held, slopes[0])

    def _touched_windows(
        self, directions: AbstractDirections
    ) -> tuple[Int[Array, " touched"], Float[Array, " touched"]] | None:
        """Numbers of the windows that move, and shares: those of one window add up to 1.

        None where they are not fewer than all.
        """
        start, stop = self.family
        moved, partners = directions.moved, self.partners
        each = self.window if partners is None else 1 + partners.holders.shape[1]
        if moved is None or moved.size * each >= stop - start:
            return None
        own = moved[:, None] - start
        if partners is None:
            numbers = own - jnp.arange(self.window)
        else:
            held = partners.holders.at[own[:, 0]].get(
                mode="fill", fill_value=partners.members.size, wrap_negative_indices=False
            )
            # Of a single coordinate, and of one that nobody holds, none.
            elsewhere = jnp.where(held < partners.members.size, held % (stop - start), -1)
            numbers = jnp.concatenate([own, elsewhere], axis=1)
        numbers = numbers.reshape(-1)
        times = jnp.sum(numbers[:, None] == numbers[None, :], axis=1)
        share = ((numbers >= 0) & (numbers < stop - start)) / times
        return jnp.clip(numbers, 0, stop - start - 1), share.astype(self.readout.dtype)

    def _monomials(self) -> list[Term]:
        """All of them up to `degree`, but for 1."""
        kinds = self._kinds
        choices = [
            choice
            for degree in range(1, self.degree + 1)
            for choice in combinations_with_replacement(range(len(kinds)), degree)
        ]
        return [
            term
            for choice in choices
            for term in product(*(k.of_degree(choice.count(n)) for n, k in enumerate(kinds)))
        ]

    def _terms(self) -> tuple[list[Term], list[Term]]:
        """Those of the single coordinates alone, and those of a window."""
        count, terms = len(self.single), self._monomials()
        shared = [term for term in terms if not any(term[count:])]
        return shared, [term for term in terms if term[count]]

    def _shifts(self) -> list[Term]:
        """Products of shifts that are met by some term, all but 1."""
        kinds, terms = self._kinds, [term for part in self._terms() for term in part]
        return [
            shift
            for shift in self._monomials()
            if any(changed(kinds, term, displaced, shift)[0] for term in terms)
        ]

    def _of_singles(self, values: list[Values]) -> dict[Term, Scalar]:
        """What is multiplied by shifts of the singles, and by none; windows stay."""
        count, (shared, windowed) = len(self.single), self._terms()
        # Of each term what the windows add up to, a number: nothing else is of the family's size.
        totals = [
            jnp.sum(c * multiplied(term[count:], values[count:]))
            for c, term in zip(self.readout, windowed, strict=False)
        ]
        factors = [*zip(totals, windowed, strict=False), *zip(self.shared, shared, strict=True)]
        none = (0,) * count
        asked = {none: None} | {a[:count]: None for a in self._shifts() if not any(a[count:])}
        kinds = self._kinds[:count]
        return {
            shift: sum(
                (
                    c * _changed_term(kinds, term[:count], values[:count], displaced, shift)
                    for c, term in factors
                ),
                jnp.zeros((), self.shared.dtype),
            )
            for shift in asked
        }

    def _coefficients(
        self, values: list[Values], readout: Float[Array, "terms windows"]
    ) -> dict[Term, Float[Array, " windows"]]:
        """What is multiplied by a window's shifts, but for those of singles alone."""
        return {
            shift: self._windows(values, readout, shift, displaced)
            for shift in self._shifts()
            if any(shift[len(self.single) :])
        }

    def _pure(self, variable: int, order: int) -> Term:
        """The orders of a derivative in one variable alone."""
        count = len(self.single) + self.window
        return tuple(order if k == variable else 0 for k in range(count))

    def _seen(self, x: Point) -> list[tuple[jax.Array, ...]]:
        """Of the single coordinates, and of the family moved by each offset."""
        count, kinds = len(self.single), self._kinds
        single = [kind.seen(x[k]) for kind, k in zip(kinds, self.single, strict=False)]
        own = kinds[count].seen(x[slice(*self.family)])
        family = [jnp.pad(seen, (0, self.window - 1)) for seen in own]
        length = self.family[1] - self.family[0]
        if self.partners is None:
            moved = [
                tuple(seen[offset : offset + length] for seen in family)
                for offset in range(self.window)
            ]
        else:
            members = self.partners.members.T
            moved = [own, *(tuple(_taken(seen, numbers) for seen in family) for numbers in members)]
        return [*single, *moved]

    def _values(self, seen: Sequence[tuple[jax.Array, ...]], first: int = 0) -> list[Values]:
        """Of the factors of each coordinate, the first of which has that number."""
        kinds = self._kinds[first : first + len(seen)]
        return [kind.values(own, self.degree) for kind, own in zip(kinds, seen, strict=True)]

    def _sums(
        self, values: list[Values], orders: Term | None = None
    ) -> tuple[Scalar, Float[Array, " family"]]:
        """The shared terms' sum and that of every window, or a derivative of the two."""
        orders, kinds = orders or (0,) * len(values), self._kinds
        parts = [
            c * _changed_term(kinds, term, values, differentiated, orders)
            for c, term in zip(self.shared, self._terms()[0], strict=True)
        ]
        shared = sum(parts, jnp.zeros((), self.shared.dtype))
        return shared, self._windows(values, self.readout, orders)

    def _windows(
        self,
        values: list[Values],
        readout: Float[Array, "terms windows"],
        by: Term,
        change: Change = differentiated,
    ) -> Float[Array, " windows"]:
        """What the terms of each window add up to, each of them changed."""
        kinds = self._kinds
        parts = [
            c * _changed_term(kinds, term, values, change, by)
            for c, term in zip(readout, self._terms()[1], strict=False)
        ]
        return sum(parts, jnp.zeros(readout.shape[1], readout.dtype))


def _taken(values: Float[Array, " n"], numbers: Int[Array, " m"]) -> Float[Array, " m"]:
    """Those of these numbers, which are all there: nothing is compared or filled in."""
    return values.at[numbers].get(mode="promise_in_bounds")


def _sum_of_products(
    coefficients: dict[Term, Float[Array, " windows"]],
    shifts: list[list[Float[Array, " windows"]]],
) -> Scalar:
    """sum over windows of sum_a coefficients[a] times a's product of shifts.

    One product of matrices for each number of coordinates.
    """
    total = jnp.zeros((), shifts[-1][0].dtype)
    if not coefficients:
        return total
    alone = [*dict.fromkeys(one for shift in coefficients for one in _one_by_one(shift))]
    table = jnp.stack([multiplied(one, shifts) for one in alone])
    fewer, products = [(0,) * len(shifts)], jnp.ones((1, 1), table.dtype)
    for count in range(1, 1 + max(map(_moved, coefficients))):
        together = [shift for shift in coefficients if _moved(shift) == count]
        # Of the first coordinate, times that of the others.
        first = [_one_by_one(shift)[0] for shift in together]
        others = [tuple(map(sub, *each)) for each in zip(together, first, strict=True)]
        first, others = (
            [*map(order.index, each)] for order, each in ((alone, first), (fewer, others))
        )
        products = table[jnp.array(first)] * products[jnp.array(others)]
        total = total + jnp.vdot(jnp.stack([coefficients[shift] for shift in together]), products)
        fewer = together
    return total


def _moved(shift: Term) -> int:
    """How many coordinates it moves."""
    return len(_one_by_one(shift))


def _one_by_one(shift: Term) -> list[Term]:
    """The shifts of each coordinate that it moves."""
    zeros = (0,) * len(shift)
    return [(*zeros[:k], number, *zeros[k + 1 :]) for k, number in enumerate(shift) if number]


def _changed_term(
    kinds: Sequence[AbstractFactors],
    term: Term,
    values: Sequence[Values],
    change: Change,
    by: Term,
) -> jax.Array | float:
    times, other = changed(kinds, term, change, by)
    if times in (0, 1):
        return multiplied(other, values) if times else 0.0
    return times * multiplied(other, values)


def _degree(kind: AbstractFactors, number: int) -> int:
    return kind.degree(number)
