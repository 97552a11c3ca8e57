"""Partial derivatives and their sums, read together and exactly in the plane that they need."""

from collections.abc import Mapping
from typing import TypeAlias

import jax.numpy as jnp

from stde_cli.autodiff.directions import CoordinateDirections
from stde_cli.autodiff.restriction import restrict
from stde_cli.autodiff.taylor import derivatives
from stde_cli.problem.operators.base import AbstractOperator
from stde_cli.problem.operators.combination import Combination
from stde_cli.problem.operators.partial import Partial
from stde_cli.system.types import Point, Scalar, ScalarField

PartialSum: TypeAlias = Mapping[tuple[int, ...], float | Scalar]
"""Factors of partial derivatives, by their coordinates."""


def partial_sum(operator: AbstractOperator) -> PartialSum | None:
    """Factors by coordinates, where `operator` is a sum of partial derivatives; else None."""
    match operator:
        case Partial(coordinates=coordinates):
            return {coordinates: 1.0}
        case Combination(factors=factors, operators=operators):
            total: dict[tuple[int, ...], float | Scalar] = {}
            for factor, part in zip(factors, operators, strict=True):
                found = partial_sum(part)
                if found is None:
                    return None
                for coordinates, inner in found.items():
                    total[coordinates] = total.get(coordinates, 0.0) + factor * inner
            return total
    return None


def differentiated(operator: AbstractOperator, coordinate: int) -> AbstractOperator:
    """The derivative in a coordinate of a sum of partial derivatives."""
    found = partial_sum(operator)
    assert found is not None
    terms = tuple(Partial((*coordinates, coordinate)) for coordinates in found)
    return Combination(tuple(found.values()), terms)


def read_partials(
    field: ScalarField, x: Point, sums: Mapping[str, PartialSum]
) -> tuple[Scalar, dict[str, Scalar]]:
    """u(x) and sums of partial derivatives by name, by one joint plan in the plane they need."""
    moved = sorted({c for factors in sums.values() for coordinates in factors for c in coordinates})
    ones = jnp.ones(len(moved), x.dtype)
    plane = CoordinateDirections(jnp.array(moved), ones, ones, distinct=True)
    functionals = [
        {tuple(coordinates.count(c) for c in moved): f for coordinates, f in factors.items()}
        for factors in sums.values()
    ]
    value, found = derivatives(restrict(field, x, plane), functionals)
    return value, dict(zip(sums, found, strict=True))
