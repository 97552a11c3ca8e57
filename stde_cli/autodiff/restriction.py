"""Restrict, then differentiate: the idea that everything rests on.

An operator at x is read along r directions V, with r far below d. So a field is never
differentiated on R^d: it is restricted to g(s) = u(x + V s) first, and derivatives are taken of g
at s = 0. All O(d) work is done once a point, in `restrict`.
"""

from typing import Protocol, runtime_checkable

from stde_cli.autodiff.directions import AbstractDirections
from stde_cli.system.types import Point, RestrictedField, ScalarField


@runtime_checkable
class Restrictable(Protocol):
    """A field that knows how to restrict itself cheaply."""

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField: ...


def restrict(field: ScalarField, x: Point, directions: AbstractDirections) -> RestrictedField:
    """g(s) = field(x + V s), by the field's own `restrict` where it has one.

    The fallback works for any callable, at O(directions x dim) a point.
    """
    if isinstance(field, Restrictable):
        return field.restrict(x, directions)
    return lambda s: field(directions.displace(x, s))
