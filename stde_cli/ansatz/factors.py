"""What a term of a polynomial has of one coordinate: a power of it, or a sine or cosine.

They are numbered, and number 0 is 1. The derivatives and the displaced values of each are multiples
of others: nothing is differentiated but integers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import comb, perm, pi, prod
from operator import mul
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from stde_cli.problem.domains import Circles

Values: TypeAlias = list[jax.Array]
"""Of the factors from number 1 on, one array each."""
Term: TypeAlias = tuple[int, ...]
"""The numbers of a term's factors, one for each coordinate."""


class Multiple(NamedTuple):
    """`times` the factor of this number."""

    times: float
    number: int


class AbstractFactors(ABC):
    """Of one coordinate, or of any of a family.

    No Equinox module: these hold no arrays, and are asked thousands of times in a trace.
    """

    @abstractmethod
    def degree(self, number: int) -> int: ...

    @abstractmethod
    def of_degree(self, degree: int) -> list[int]:
        """The numbers of those that have it."""

    @abstractmethod
    def seen(self, v: jax.Array) -> tuple[jax.Array, ...]:
        """What `values` are found from; where it is zero, so are they: nothing is there."""

    @abstractmethod
    def values(self, seen: Sequence[jax.Array], degree: int) -> Values:
        """Of the factors up to a degree."""

    @abstractmethod
    def shifts(self, shift: jax.Array, degree: int) -> Values:
        """By what a factor's displacement is told: as many as there are values, zero at rest."""

    @abstractmethod
    def displaced(self, number: int, shift: int) -> Multiple:
        """What is multiplied by the shift of that number, the sum being the displaced factor.

        Of shift 0, which is 1, the factor itself.
        """

    @abstractmethod
    def differentiated(self, number: int, order: int) -> Multiple: ...


@dataclass(frozen=True)
class Powers(AbstractFactors):
    """v^n."""

    def degree(self, number: int) -> int:
        return number

    def of_degree(self, degree: int) -> list[int]:
        return [degree]

    def seen(self, v: jax.Array) -> tuple[jax.Array, ...]:
        return (v,)

    def values(self, seen: Sequence[jax.Array], degree: int) -> Values:
        found = [seen[0]]
        for _ in range(1, degree):
            found.append(found[-1] * seen[0])
        return found

    def shifts(self, shift: jax.Array, degree: int) -> Values:
        return self.values([shift], degree)

    def displaced(self, number: int, shift: int) -> Multiple:
        return Multiple(comb(number, shift), max(0, number - shift))

    def differentiated(self, number: int, order: int) -> Multiple:
        return Multiple(perm(number, order), max(0, number - order))


@dataclass(frozen=True)
class Harmonics(AbstractFactors):
    """sin ka as number 2k - 1 and cos ka as number 2k, of degree k; a = 2 pi (v - low)/length.

    Products of them up to a degree are the polynomials of that degree in sines and cosines.
    """

    low: float
    length: float

    def degree(self, number: int) -> int:
        return (number + 1) // 2

    def of_degree(self, degree: int) -> list[int]:
        return [2 * degree - 1, 2 * degree] if degree else [0]

    def seen(self, v: jax.Array) -> tuple[jax.Array, ...]:
        angle = self._frequency * (v - self.low)
        return jnp.sin(angle), jnp.cos(angle)

    def values(self, seen: Sequence[jax.Array], degree: int) -> Values:
        sine, cosine = first = tuple(seen)
        found = [*first]
        for _ in range(1, degree):
            s, c = found[-2:]
            found += [s * cosine + c * sine, c * cosine - s * sine]
        return found

    def shifts(self, shift: jax.Array, degree: int) -> Values:
        """sin kb and cos kb - 1, so that nothing cancels where b is small."""
        angle = self._frequency * shift
        sine, versed = jnp.sin(angle), -2 * jnp.sin(angle / 2) ** 2
        found = [sine, versed]
        for _ in range(1, degree):
            s, v = found[-2:]
            found += [s + sine + s * versed + v * sine, v + versed + v * versed - s * sine]
        return found

    def displaced(self, number: int, shift: int) -> Multiple:
        if shift == 0:
            return Multiple(1, number)
        if self.degree(shift) != self.degree(number):
            return Multiple(0, 0)
        # By the addition theorem.
        return Multiple(1, number) if shift % 2 == 0 else self._turned(number)

    def differentiated(self, number: int, order: int) -> Multiple:
        times, found = (self._frequency * self.degree(number)) ** order, number
        for _ in range(order if number else 0):
            sign, found = self._turned(found)
            times *= sign
        return Multiple(times, found)

    def _turned(self, number: int) -> Multiple:
        """By a quarter of a turn: the derivative in ka."""
        return Multiple(1, number + 1) if number % 2 else Multiple(-1, number - 1)

    @property
    def _frequency(self) -> float:
        return 2 * pi / self.length


Change: TypeAlias = Callable[[AbstractFactors, int, int], Multiple]
"""What becomes of a factor, by its number and that of an order or of a shift."""


def displaced(kind: AbstractFactors, number: int, shift: int) -> Multiple:
    return kind.displaced(number, shift)


def differentiated(kind: AbstractFactors, number: int, order: int) -> Multiple:
    return kind.differentiated(number, order)


def changed(
    kinds: Sequence[AbstractFactors], term: Term, change: Change, by: Term
) -> tuple[float, Term]:
    """A term each of whose factors is changed: a multiple of another term."""
    found = [change(*each) for each in zip(kinds, term, by, strict=True)]
    return prod(multiple.times for multiple in found), tuple(m.number for m in found)


def multiplied(term: Term, values: Sequence[Values]) -> jax.Array | float:
    """Of the term's factors."""
    factors = [own[number - 1] for number, own in zip(term, values, strict=True) if number]
    return reduce(mul, factors) if factors else 1.0


def factors_at(position: int, circles: Sequence[Circles]) -> AbstractFactors:
    """Of the coordinate at a position of the point."""
    for circle in circles:
        if circle.start <= position < circle.stop:
            return Harmonics(circle.low, circle.length)
    return Powers()
