"""Sums over windows of neighbouring coordinates of small polynomials, with a readout per position.

What a fully connected network of fixed width cannot hold in many dimensions: a function that is
near a sum of terms in a few neighbours each has a quadratic part of rank dim, a network of width h
one of rank h at most.
"""

from collections.abc import Sequence
from functools import reduce
from itertools import combinations_with_replacement
from math import perm
from operator import mul
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from stde_cli.autodiff.directions import AbstractDirections, CoordinateDirections
from stde_cli.problem.operators import Triple
from stde_cli.system.types import Point, RestrictedField, Scalar

Term: TypeAlias = tuple[int, ...]
"""A monomial: exponents of the single coordinates, then of those within a window."""


class WindowPolynomials(eqx.Module):
    """sum_f shared[f] p_f(t) + sum_f sum_m readout[f, m] p_f(t, x_m, ..., x_{m + window - 1}).

    The p_f are the monomials up to `degree` in the single coordinates t and in a window of the
    family x. Those of a window hold its first coordinate, so that none occurs twice, and a window
    that hangs over the end of the family holds zeros there. O(dim) numbers; the value, the gradient
    and the Laplacian each cost O(dim).

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

    def __init__(self, family: range, *, single: Sequence[int] = (), window: int, degree: int):
        if window < 1:
            raise ValueError(f"a window of {window} coordinates is empty")
        self.single, self.family = tuple(single), (family.start, family.stop)
        self.window, self.degree = window, degree
        shared, windowed = self._terms()
        self.shared = jnp.zeros(len(shared))
        self.readout = jnp.zeros((len(windowed) if len(family) else 0, len(family)))

    def __call__(self, x: Point) -> Scalar:
        shared, windows = self._sums(self._variables(x))
        return shared + jnp.sum(windows)

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        if not isinstance(directions, CoordinateDirections):
            return lambda s: self(directions.displace(x, s))
        return self._restrict_to_touched(x, directions)

    def value_gradient_laplacian(self, x: Point, over: range) -> Triple:
        variables, start, stop = self._variables(x), *self.family
        shared, windows = self._sums(variables)
        value, gradient, laplacian = shared + jnp.sum(windows), jnp.zeros_like(x), 0 * shared
        for k, position in enumerate(self.single):
            slope, curvature = (self._sums(variables, k, order) for order in (1, 2))
            gradient = gradient.at[position].set(slope[0] + jnp.sum(slope[1]))
            if position in over:
                laplacian = laplacian + curvature[0] + jnp.sum(curvature[1])
        members = np.arange(start, stop)
        asked = jnp.asarray((members >= over.start) & (members < over.stop), x.dtype)
        slopes = jnp.zeros_like(windows)
        for offset in range(min(self.window, stop - start)):
            # Entry m is the derivative of window m in its coordinate m + offset.
            kept = stop - start - offset
            slope, curvature = (
                self._sums(variables, len(self.single) + offset, order)[1] for order in (1, 2)
            )
            slopes = slopes + jnp.pad(slope[:kept], (offset, 0))
            laplacian = laplacian + curvature[:kept] @ asked[offset:]
        gradient = gradient.at[start:stop].set(slopes)
        return value, gradient[over.start : over.stop], laplacian

    @property
    def degrees(self) -> tuple[Int[Array, " shared"], Int[Array, " terms"]]:
        """The degree of each shared term, and of each of a window's."""
        shared, windowed = self._terms()
        windowed = windowed[: len(self.readout)]
        return jnp.array([*map(sum, shared)], int), jnp.array([*map(sum, windowed)], int)

    def _restrict_to_touched(self, x: Point, directions: CoordinateDirections) -> RestrictedField:
        """Only the windows that hold a direction's coordinate move, and the single coordinates.

        Of the other windows, what each term sums to is multiplied by its single coordinates' part.
        """
        start, stop = self.family
        offsets = jnp.arange(self.window)
        touched = (directions.indices[:, None] - start - offsets).reshape(-1)
        # A window that several directions touch is counted once.
        times = jnp.sum(touched[:, None] == touched[None, :], axis=1)
        share = ((touched >= 0) & (touched < stop - start)) / times
        touched = jnp.clip(touched, 0, stop - start - 1)
        readout = self.readout[:, touched] * share.astype(x.dtype)
        members = touched[:, None] + offsets
        # What hangs over the end of the family stays zero, whatever coordinate comes after it.
        inside = (members < stop - start)[:, :, None]
        moves = inside * (members[:, :, None] + start == directions.indices) * directions.lengths
        before = jnp.pad(x[start:stop], (0, self.window))[members]
        count = len(self.single)
        still = [
            jnp.sum(all_of) - jnp.sum(some)
            for all_of, some in zip(
                self._parts(self._variables(x)[count:], self.readout),
                self._parts(list(before.T), readout),
                strict=True,
            )
        ]
        single = jnp.array(self.single, int)
        pulls = (single[:, None] == directions.indices) * directions.lengths
        fixed = x[single]

        def along(s: Float[Array, " directions"]) -> Scalar:
            variables = [*(fixed + pulls @ s), *(before + moves @ s).T]
            rest = [
                c * _monomial(term[:count], variables[:count], None, 0)
                for c, term in zip(still, self._terms()[1], strict=False)
            ]
            windows = jnp.sum(self._windows(variables, readout))
            return sum(rest, self._shared(variables)) + windows

        return along

    def _parts(
        self, window: list[jax.Array], readout: Float[Array, "terms windows"]
    ) -> list[Float[Array, " windows"]]:
        """Every term of every window, but for the single coordinates' part."""
        count = len(self.single)
        return [
            c * _monomial(term[count:], window, None, 0)
            for c, term in zip(readout, self._terms()[1], strict=False)
        ]

    def _terms(self) -> tuple[list[Term], list[Term]]:
        """Those of the single coordinates alone, and those of a window."""
        single, count = len(self.single), len(self.single) + self.window
        choices = [
            choice
            for degree in range(1, self.degree + 1)
            for choice in combinations_with_replacement(range(count), degree)
        ]
        terms = [tuple(choice.count(k) for k in range(count)) for choice in choices]
        shared = [term for term in terms if not any(term[single:])]
        return shared, [term for term in terms if term[single]]

    def _variables(self, x: Point) -> list[jax.Array]:
        """What the terms are of: the single coordinates, and the family moved by each offset."""
        family = jnp.pad(x[slice(*self.family)], (0, self.window - 1))
        count = self.family[1] - self.family[0]
        moved = [family[offset : offset + count] for offset in range(self.window)]
        return [*(x[position] for position in self.single), *moved]

    def _sums(
        self, variables: list[jax.Array], by: int | None = None, order: int = 0
    ) -> tuple[Scalar, Float[Array, " family"]]:
        """The shared terms' sum, and that of every window; differentiated `order` times `by`."""
        windows = self._windows(variables, self.readout, by, order)
        return self._shared(variables, by, order), windows

    def _shared(self, variables: list[jax.Array], by: int | None = None, order: int = 0) -> Scalar:
        parts = [
            c * _monomial(term, variables, by, order)
            for c, term in zip(self.shared, self._terms()[0], strict=True)
        ]
        return sum(parts, jnp.zeros((), self.shared.dtype))

    def _windows(
        self,
        variables: list[jax.Array],
        readout: Float[Array, "terms windows"],
        by: int | None = None,
        order: int = 0,
    ) -> Float[Array, " windows"]:
        parts = [
            c * _monomial(term, variables, by, order)
            for c, term in zip(readout, self._terms()[1], strict=False)
        ]
        return sum(parts, jnp.zeros(readout.shape[1], readout.dtype))


def _monomial(
    term: Term, variables: list[jax.Array], by: int | None, order: int
) -> jax.Array | float:
    """The product of powers, differentiated `order` times in variable number `by`."""
    exponents = list(term)
    factor = 1.0
    if by is not None:
        if exponents[by] < order:
            return 0.0
        factor = float(perm(exponents[by], order))
        exponents[by] -= order
    powers = [v for v, times in zip(variables, exponents, strict=True) for _ in range(times)]
    return reduce(mul, powers, jnp.array(factor)) if powers else factor
