"""Sums over windows of coordinates of small polynomials, with a readout per position.

Neighbours are in a window, or those that are told.

What a fully connected network of fixed width cannot hold in many dimensions: a function that is
near a sum of terms in a few neighbours each has a quadratic part of rank dim, a network of width h
one of rank h at most.
"""

from collections.abc import Sequence
from functools import reduce
from itertools import combinations_with_replacement
from math import factorial, perm, prod
from operator import add, mul
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from stde_cli.ansatz.partners import Partners
from stde_cli.autodiff.directions import AbstractDirections
from stde_cli.autodiff.restriction import sum_in_blocks
from stde_cli.problem.operators import Triple
from stde_cli.system.types import Point, RestrictedField, Scalar

Term: TypeAlias = tuple[int, ...]
"""A monomial: exponents of the single coordinates, then of those within a window."""

_Rows: TypeAlias = tuple[
    Int[Array, " rows"], list[Float[Array, " rows"]], Float[Array, "rows terms"]
]
"""Windows: their numbers, their members at each offset and their readouts."""


class WindowPolynomials(eqx.Module):
    """sum_f shared[f] p_f(t) + sum_f sum_m readout[f, m] p_f(t, x_m, ..., x_{m + window - 1}).

    The p_f are the monomials up to `degree` in the single coordinates t and in a window of the
    family x. Those of a window hold its first coordinate, so that none occurs twice, and a window
    that hangs over the end of the family holds zeros there. O(dim) numbers; the value, the gradient
    and the Laplacian each cost O(dim).

    With `partners` window m holds x_m and its partners, of which there are `window` - 1 at most.

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

    def __init__(
        self,
        family: range,
        *,
        single: Sequence[int] = (),
        window: int,
        degree: int,
        partners: Partners | None = None,
    ):
        if window < 1:
            raise ValueError(f"a window of {window} coordinates is empty")
        self.single, self.family = tuple(single), (family.start, family.stop)
        self.window, self.degree, self.partners = window, degree, partners
        shared, windowed = self._terms()
        self.shared = jnp.zeros(len(shared))
        self.readout = jnp.zeros((len(windowed) if len(family) else 0, len(family)))

    def __call__(self, x: Point) -> Scalar:
        shared, windows = self._sums(self._variables(x))
        return shared + jnp.sum(windows)

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        """p(x + V s) by Taylor's formula in the displacement V s, which ends at `degree`.

        The coefficients belong to the point alone and the powers of V s to the directions alone:
        they meet in one product of matrices for each degree, and no point is displaced.
        """
        (start, stop), count = self.family, len(self.single)
        everywhere = self._variables(x)
        touched = self._touched_windows(directions)
        if touched is None:
            rows = jnp.arange(stop - start), everywhere[count:], self.readout.T
        else:
            numbers, share = touched
            family = jnp.pad(x[start:stop], (0, self.window))
            members = [family[self._member(numbers, k)] for k in range(self.window)]
            rows = numbers, members, (self.readout[:, numbers] * share).T
        pulls = [directions.at(jnp.array([position]))[:, 0] for position in self.single]
        still = self._of_singles(everywhere)

        def along(s: Float[Array, " directions"]) -> Scalar:
            single = [s @ pull for pull in pulls]

            def moved(counted: Bool[Array, " rows"], rows: _Rows) -> Scalar:
                numbers, members, readout = rows
                coefficients = self._coefficients([*everywhere[:count], *members], readout.T)
                shift = [jnp.broadcast_to(t, numbers.shape) for t in single]
                for offset in range(self.window):
                    # What hangs over the end of the family stays zero, whatever comes after it.
                    member = self._member(numbers, offset)
                    inside = counted & (member < stop - start)
                    shift.append(s @ (directions.at(start + member) * inside))
                return _polynomial(coefficients, jnp.stack(shift))

            terms = (c * _monomial(orders, single) for orders, c in still.items())
            return sum(terms, sum_in_blocks(moved, rows, s.size))

        return along

    def value_gradient_laplacian(self, x: Point, over: range) -> Triple:
        variables, start, stop = self._variables(x), *self.family
        shared, windows = self._sums(variables)
        value, gradient, laplacian = shared + jnp.sum(windows), jnp.zeros_like(x), 0 * shared
        for k, position in enumerate(self.single):
            slope, curvature = (self._sums(variables, self._pure(k, order)) for order in (1, 2))
            gradient = gradient.at[position].set(slope[0] + jnp.sum(slope[1]))
            if position in over:
                laplacian = laplacian + curvature[0] + jnp.sum(curvature[1])
        members = np.arange(start, stop)
        asked = jnp.asarray((members >= over.start) & (members < over.stop), x.dtype)
        slopes = []
        for offset in range(min(self.window, stop - start)):
            # Entry m is the derivative of window m in its coordinate at this offset.
            slope, curvature = (
                self._windows(variables, self.readout, self._pure(len(self.single) + offset, order))
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
        return jnp.array([*map(sum, shared)], int), jnp.array([*map(sum, windowed)], int)

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
        count = len(self.single) + self.window
        choices = [
            choice
            for degree in range(1, self.degree + 1)
            for choice in combinations_with_replacement(range(count), degree)
        ]
        return [tuple(choice.count(k) for k in range(count)) for choice in choices]

    def _terms(self) -> tuple[list[Term], list[Term]]:
        """Those of the single coordinates alone, and those of a window."""
        count, terms = len(self.single), self._monomials()
        shared = [term for term in terms if not any(term[count:])]
        return shared, [term for term in terms if term[count]]

    def _orders(self) -> list[Term]:
        """How often in each variable the terms can be differentiated, once at least in all."""
        terms = [term for part in self._terms() for term in part]
        return [
            orders
            for orders in self._monomials()
            if any(all(m >= n for m, n in zip(term, orders, strict=True)) for term in terms)
        ]

    def _of_singles(self, variables: list[jax.Array]) -> dict[Term, Scalar]:
        """The factors of powers of the singles' displacement, of power 0 too; windows stay."""
        count, (shared, windowed) = len(self.single), self._terms()
        # Of each term what the windows add up to, a number: nothing else is of the family's size.
        totals = [
            jnp.sum(c * _monomial(term[count:], variables[count:]))
            for c, term in zip(self.readout, windowed, strict=False)
        ]
        factors = [*zip(totals, windowed, strict=False), *zip(self.shared, shared, strict=True)]
        none = (0,) * count
        asked = {none: None} | {a[:count]: None for a in self._orders() if not any(a[count:])}
        return {
            orders: sum(
                (c * _derivative(term[:count], variables[:count], orders) for c, term in factors),
                jnp.zeros((), self.shared.dtype),
            )
            / prod(map(factorial, orders))
            for orders in asked
        }

    def _coefficients(
        self, variables: list[jax.Array], readout: Float[Array, "terms windows"]
    ) -> dict[Term, Float[Array, " windows"]]:
        """The factors of a displacement's powers in each window, but for those of singles alone."""
        return {
            orders: self._windows(variables, readout, orders) / prod(map(factorial, orders))
            for orders in self._orders()
            if any(orders[len(self.single) :])
        }

    def _pure(self, variable: int, order: int) -> Term:
        """The orders of a derivative in one variable alone."""
        count = len(self.single) + self.window
        return tuple(order if k == variable else 0 for k in range(count))

    def _variables(self, x: Point) -> list[jax.Array]:
        """What the terms are of: the single coordinates, and the family moved by each offset."""
        family = jnp.pad(x[slice(*self.family)], (0, self.window - 1))
        count = self.family[1] - self.family[0]
        if self.partners is None:
            moved = [family[offset : offset + count] for offset in range(self.window)]
        else:
            others = [_taken(family, numbers) for numbers in self.partners.members.T]
            moved = [family[:count], *others]
        return [*(x[position] for position in self.single), *moved]

    def _sums(
        self, variables: list[jax.Array], orders: Term | None = None
    ) -> tuple[Scalar, Float[Array, " family"]]:
        """The shared terms' sum and that of every window, or a derivative of the two."""
        parts = [
            c * _derivative(term, variables, orders)
            for c, term in zip(self.shared, self._terms()[0], strict=True)
        ]
        shared = sum(parts, jnp.zeros((), self.shared.dtype))
        return shared, self._windows(variables, self.readout, orders)

    def _windows(
        self,
        variables: list[jax.Array],
        readout: Float[Array, "terms windows"],
        orders: Term | None = None,
    ) -> Float[Array, " windows"]:
        """What the terms of each window add up to, or a derivative of that."""
        parts = [
            c * _derivative(term, variables, orders)
            for c, term in zip(readout, self._terms()[1], strict=False)
        ]
        return sum(parts, jnp.zeros(readout.shape[1], readout.dtype))


def _taken(values: Float[Array, " n"], numbers: Int[Array, " m"]) -> Float[Array, " m"]:
    """Those of these numbers, which are all there: nothing is compared or filled in."""
    return values.at[numbers].get(mode="promise_in_bounds")


def _polynomial(
    coefficients: dict[Term, Float[Array, " windows"]], shift: Float[Array, "variables windows"]
) -> Scalar:
    """sum over windows of sum_a coefficients[a] shift^a: one product of matrices a degree."""
    total, powers, lower = jnp.zeros((), shift.dtype), shift, []
    for degree in range(1, 1 + max(map(sum, coefficients), default=0)):
        orders = [a for a in coefficients if sum(a) == degree]
        first = [next(k for k, times in enumerate(a) if times) for a in orders]
        if degree == 1:
            powers = shift[jnp.array(first)]
        else:
            # A power is one of the degree below, times its first variable.
            rest = [
                tuple(times - (k == one) for k, times in enumerate(a))
                for a, one in zip(orders, first, strict=True)
            ]
            powers = powers[jnp.array([*map(lower.index, rest)])] * shift[jnp.array(first)]
        lower = orders
        total = total + jnp.vdot(jnp.stack([coefficients[a] for a in orders]), powers)
    return total


def _derivative(term: Term, variables: list[jax.Array], orders: Term | None) -> jax.Array | float:
    """A monomial, differentiated orders[k] times in variable k."""
    orders = orders or (0,) * len(term)
    factor = prod(map(perm, term, orders))
    left = tuple(m - n for m, n in zip(term, orders, strict=True))
    return factor * _monomial(left, variables) if factor else 0.0


def _monomial(exponents: Term, variables: list[jax.Array]) -> jax.Array | float:
    """The product of the variables' powers."""
    powers = [v for v, times in zip(variables, exponents, strict=True) for _ in range(times)]
    return reduce(mul, powers) if powers else 1.0
