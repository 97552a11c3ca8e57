"""Taylor polynomials to push through g: R^n -> R: what their coefficients hold, and their cost.

A plan is data: pushes, and for each partial a reading, a rational combination of coefficients.
No prefactor is written by hand: `Push.contents` says by Faa di Bruno what lands on a coefficient,
in integers.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import prod

from stde_cli.autodiff.taylor.partitions import Index, expand, multiplicity, partitions

COEFFICIENT_COST = 1.0
"""What propagating a coefficient through one layer costs: the unit of cost."""

PRODUCT_COST = 0.05
"""What one product of two coefficients in an elementwise function costs.

The ratio b/a of time = overhead + a coefficients + b products, fitted by least squares to measured
times by `python scripts/fit_plan_costs.py`: forward and backward through the paper's network at 100
points on two CPU cores. It came out as 0.048, with a residual of 8 %.
"""

Row = dict[Index, int]
"""What a coefficient holds: integer prefactors of partials."""


@dataclass(frozen=True)
class Push:
    """One Taylor polynomial gamma, pushed through g: R^n -> R.

    `seeds` holds D^index gamma(0) as integer vectors of length n, by index; the others are zero.
    `indices` are the coefficients that are propagated: closed downwards, without zero, by degree
    and then lexicographically. Coefficients are derivatives, not derivatives over factorials.
    """

    seeds: tuple[tuple[Index, tuple[int, ...]], ...]
    indices: tuple[Index, ...]

    def contents(self) -> dict[Index, Row]:
        """For each coefficient, the partials of g that land on it, with integer prefactors."""
        return {index: dict(landing_on(self.seeds, index)) for index in self.indices}

    @property
    def products(self) -> int:
        """Products of two coefficients in one elementwise function of a dense layer.

        For delta = sum c_alpha eps^alpha without its constant: delta^2 ... delta^K by repeated
        truncated multiplication with delta, half of delta^2 by symmetry, and one product with each
        derivative f^(n) that reaches the coefficient. Below alpha lie H = prod(alpha_i + 1) - 2
        coefficients, as many of degree d as of |alpha| - d; one of degree d meets delta in delta^2
        and in delta^3 ... delta^(d+1).
        """
        return sum(map(_products, self.indices))

    @property
    def cost(self) -> float:
        return len(self.indices) * COEFFICIENT_COST + self.products * PRODUCT_COST


@dataclass(frozen=True)
class Reading:
    """derivative = sum of fraction times coefficient `index` of push `number`, over the terms."""

    derivative: Index
    terms: tuple[tuple[Fraction, int, Index], ...]


@dataclass(frozen=True)
class Plan:
    """Pushes, and how each derivative asked for is read from their coefficients."""

    pushes: tuple[Push, ...]
    readings: tuple[Reading, ...]

    @property
    def cost(self) -> float:
        return total_cost(self.pushes)


def partitions_onto(push: Push, index: Index) -> list[tuple[tuple[Index, ...], int, Index]]:
    """What lands on a coefficient: (partition into seed indices, integer prefactor, derivative).

    A partition whose vectors are not unit vectors appears once for each partial it expands to.
    Where 3, 4 and 7 carry x, y and t, coefficient 13 gives 3+3+3+4 with 200200 u_xxxy and 3+3+7
    with 17160 u_xxt.
    """
    return [
        (partition, number * factor, derivative)
        for partition, number, row in _landings(push.seeds, index)
        for derivative, factor in row.items()
    ]


def _landings(seeds, index: Index) -> Iterator[tuple[tuple[Index, ...], int, Row]]:
    parts, vectors = zip(*seeds, strict=True)
    for counts in partitions(index, parts):
        partition = tuple(p for p, count in zip(parts, counts, strict=True) for _ in range(count))
        yield partition, multiplicity(parts, counts), expand(vectors, counts)


@lru_cache(maxsize=100_000)
def landing_on(seeds, index: Index) -> Row:
    """What lands on a coefficient, as derivative -> integer. Shared: not to be written to."""
    total: Row = {}
    for _, number, row in _landings(seeds, index):
        for derivative, factor in row.items():
            total[derivative] = total.get(derivative, 0) + number * factor
    return {derivative: factor for derivative, factor in total.items() if factor}


def _products(index: Index) -> int:
    degree = sum(index)
    below = grid_size(index) - 2
    return (below + 1) // 2 + below * (degree - 2) // 2 + degree


def grid_size(index: Index) -> int:
    """How many partials there are up to this one, u itself among them."""
    return prod(count + 1 for count in index)


def total_cost(pushes: Iterable[Push]) -> float:
    """What several pushes cost together."""
    return sum(push.cost for push in pushes)
