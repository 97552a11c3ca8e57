"""Several derivatives of one function at once, by a joint plan."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Float

from stde_cli.autodiff.taylor.planner import plan
from stde_cli.autodiff.taylor.polynomials import COLLAPSED, Index, is_uppermost, push_together
from stde_cli.autodiff.taylor.pushes import Plan, Push
from stde_cli.system.types import RestrictedField, Scalar

Functional: TypeAlias = Mapping[Index, float | Scalar]
"""A sum of partial derivatives: factors by multi-index over the function's arguments."""

_Readings: TypeAlias = list[dict[tuple[int, Index], float | Scalar]]
"""For each functional, the factor of each coefficient, by push and index."""


def derivatives(
    field: RestrictedField, functionals: Sequence[Functional]
) -> tuple[Scalar, tuple[Scalar, ...]]:
    """g(0) and every functional of the partial derivatives of g = `field` at 0.

    Coefficients that lie uppermost in their push and serve one functional alone are propagated as
    the sum that it wants.
    """
    chosen = plan(frozenset(q for functional in functionals for q in functional))
    return execute(chosen, field, functionals)


def execute(
    chosen: Plan, field: RestrictedField, functionals: Sequence[Functional]
) -> tuple[Scalar, tuple[Scalar, ...]]:
    """As `derivatives`, by a given plan that reads every derivative in `functionals`."""
    readings = _compose(chosen, functionals)
    value, coefficients = None, {}
    for group in _alike(chosen.pushes):
        collapsed = _collapse(group, chosen.pushes, readings) if len(group) == 1 else {}
        value, found = _push_together([chosen.pushes[number] for number in group], field, collapsed)
        for row, number in enumerate(group):
            coefficients |= {(number, a): c[row] for a, c in found.items()}
    assert value is not None
    totals = (
        sum((factor * coefficients[key] for key, factor in reading.items()), jnp.zeros_like(value))
        for reading in readings
    )
    return value, tuple(totals)


def _compose(chosen: Plan, functionals: Sequence[Functional]) -> _Readings:
    """Functionals of derivatives as functionals of coefficients."""
    by_derivative = {reading.derivative: reading.terms for reading in chosen.readings}
    composed: _Readings = []
    for functional in functionals:
        terms: dict[tuple[int, Index], float | Scalar] = {}
        for q, factor in functional.items():
            for fraction, number, a in by_derivative[q]:
                terms[number, a] = terms.get((number, a), 0.0) + float(fraction) * factor
        composed.append(terms)
    return composed


def _alike(pushes: Sequence[Push]) -> list[list[int]]:
    """Numbers of pushes that propagate the same coefficients from seeds at the same places."""
    groups: dict[object, list[int]] = {}
    for number, one in enumerate(pushes):
        kind = one.indices, tuple(a for a, _ in one.seeds)
        groups.setdefault(kind, []).append(number)
    return list(groups.values())


def _collapse(
    group: Sequence[int], pushes: Sequence[Push], readings: _Readings
) -> dict[Index, float | Scalar]:
    """Weights of the uppermost coefficients that one functional alone reads, as their sum then."""
    (number,) = group
    indices = pushes[number].indices
    users = {a: [r for r in readings if (number, a) in r] for a in indices}
    uppermost = [a for a in indices if len(users[a]) == 1 and is_uppermost(a, indices)]
    for reading in readings:
        mine = [a for a in uppermost if users[a][0] is reading]
        if len(mine) > 1:
            weights = {a: reading.pop((number, a)) for a in mine}
            reading[number, COLLAPSED] = 1.0
            return weights
    return {}


def _push_together(
    pushes: Sequence[Push], field: RestrictedField, collapsed: Mapping[Index, float | Scalar]
) -> tuple[Scalar, dict[Index, Float[Array, " pushes"]]]:
    """Pushes of one kind, as polynomials that share their constant term."""
    places = [a for a, _ in pushes[0].seeds]
    vectors = jnp.array([[v for _, v in one.seeds] for one in pushes], float)

    seeds = {a: vectors[:, k] for k, a in enumerate(places)}
    value, found = push_together(field, seeds, pushes[0].indices, collapsed)
    return value, {a: c[None] if a == COLLAPSED else c for a, c in found.items()}
