"""How partials are read from given pushes, exactly.

A partial can be read where it lies, over the rationals, in the span of what the coefficients hold;
what must be subtracted comes out of the elimination.
"""

from collections.abc import Collection, Hashable, Iterable, Sequence
from fractions import Fraction

from stde_cli.autodiff.taylor.partitions import Index
from stde_cli.autodiff.taylor.pushes import Push, Reading, Row, landing_on


class Span:
    """Rows in reduced echelon form, each with the combination of named rows that makes it."""

    def __init__(self):
        self._basis: dict[Index, tuple[dict, dict]] = {}

    def add(self, name: Hashable, row: Row) -> None:
        reduced, combination = self._reduce(row, {name: Fraction(1)})
        if not reduced:
            return
        pivot = min(reduced)
        scale = 1 / reduced[pivot]
        reduced = {column: scale * entry for column, entry in reduced.items()}
        combination = {key: scale * entry for key, entry in combination.items()}
        for other in self._basis.values():
            factor = other[0].get(pivot)
            if factor:
                _subtract(other[0], reduced, factor)
                _subtract(other[1], combination, factor)
        self._basis[pivot] = (reduced, combination)

    def express(self, derivative: Index) -> dict | None:
        """`derivative` as a combination, name -> fraction; None outside the span."""
        if derivative not in self._basis:
            return None
        reduced, combination = self._reduce({derivative: 1}, {})
        return None if reduced else {name: -entry for name, entry in combination.items()}

    def _reduce(self, row, combination):
        row = {column: Fraction(entry) for column, entry in row.items()}
        for column in [column for column in row if column in self._basis]:
            factor = row[column]
            basis_row, basis_combination = self._basis[column]
            _subtract(row, basis_row, factor)
            _subtract(combination, basis_combination, factor)
        return row, combination


def _subtract(row: dict, other: dict, factor: Fraction) -> None:
    for key, entry in other.items():
        value = row.get(key, 0) - factor * entry
        if value:
            row[key] = value
        else:
            row.pop(key, None)


def rows_on(pushes: Sequence[Push], derivatives: Collection[Index]) -> list[tuple]:
    """The rows ((number, index), contents) that bear on `derivatives`, simple ones first."""
    rest = [
        ((number, index), row)
        for number, push in enumerate(pushes)
        for index in push.indices
        if (row := landing_on(push.seeds, index))
    ]
    columns, rows = set(derivatives), []
    while touching := [entry for entry in rest if not columns.isdisjoint(entry[1])]:
        rest = [entry for entry in rest if columns.isdisjoint(entry[1])]
        rows += touching
        columns.update(*(row for _, row in touching))
    return sorted(rows, key=lambda entry: (len(entry[1]), sum(map(abs, entry[1].values()))))


def read(pushes: Sequence[Push], derivative: Index) -> Reading | None:
    """How `derivative` is read from the pushes; None where they do not hold it."""
    span = Span()
    for name, row in rows_on(pushes, [derivative]):
        span.add(name, row)
        if (found := span.express(derivative)) is not None:
            terms = ((fraction, *name) for name, fraction in found.items())
            return Reading(derivative, tuple(sorted(terms, key=lambda term: term[1:])))
    return None


def read_all(pushes: Sequence[Push], derivatives: Iterable[Index]) -> list[Reading] | None:
    """How each derivative is read; None where one of them is not held."""
    readings = []
    for derivative in derivatives:
        if (reading := read(pushes, derivative)) is None:
            return None
        readings.append(reading)
    return readings
