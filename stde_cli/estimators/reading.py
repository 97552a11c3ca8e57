"""How jets are read: restricted, and collapsed where a sum is all that is wanted."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from stde_cli._types import Point, Scalar, ScalarField
from stde_cli.directions import AbstractDirections, CoordinateDirections
from stde_cli.operators import AbstractOperator, Combination, Jets, Partial
from stde_cli.restriction import restrict
from stde_cli.taylor import COLLAPSED, derivatives, down_closure, push, value_and_trace


def read(field: ScalarField, x: Point, jets: Jets) -> tuple[Scalar, Scalar]:
    """u(x) and factor * sum_k weights[k] (D^|powers| u (v_k1, ...))^degree."""
    if jets.degree == 1 and jets.powers == (1,):
        value, reading = _first(field, x, jets)
    elif jets.degree == 1 and jets.powers == (2,) and not jets.signed:
        value, reading = _trace(field, x, jets)
    else:
        value, reading = _one_by_one(field, x, jets)
    return value, jets.factor * reading


def _first(field: ScalarField, x: Point, jets: Jets) -> tuple[Scalar, Scalar]:
    """A sum of first derivatives is one derivative, along the sum of the directions."""
    g = restrict(field, x, _as_one_set(jets.directions))
    return jax.jvp(g, (jnp.zeros_like(jets.weights),), (jets.weights,))


def _trace(field: ScalarField, x: Point, jets: Jets) -> tuple[Scalar, Scalar]:
    """Directions of length sqrt(w_k) bring the weights with them."""
    scaled = _as_one_set(jets.directions).scaled(jnp.sqrt(jets.weights))
    return value_and_trace(restrict(field, x, scaled), jets.weights.size)


def _one_by_one(field: ScalarField, x: Point, jets: Jets) -> tuple[Scalar, Scalar]:
    """One polynomial a set of directions; the O(dim) work at x is done once for all of them."""
    unknowns = len(jets.powers)
    seeds = jnp.eye(unknowns, dtype=x.dtype)
    units = {tuple(int(m == k) for m in range(unknowns)): seeds[k] for k in range(unknowns)}
    indices = down_closure([jets.powers])

    def one(directions: AbstractDirections) -> tuple[Scalar, Scalar]:
        g = restrict(field, x, directions)
        value, found = push(g, units, indices, {jets.powers: 1.0})
        return value, found[COLLAPSED]

    values, found = jax.vmap(one)(jets.directions)
    return values[0], jets.weights @ found**jets.degree


def _as_one_set(directions: AbstractDirections) -> AbstractDirections:
    """r sets of one direction as one set of r."""
    return jax.tree.map(lambda leaf: leaf[:, 0], directions)


def partial_factors(operator: AbstractOperator) -> dict[tuple[int, ...], float | Scalar] | None:
    """Factors by coordinates, where `operator` is a sum of partial derivatives; else None."""
    match operator:
        case Partial(coordinates=coordinates):
            return {coordinates: 1.0}
        case Combination(factors=factors, operators=operators):
            total: dict[tuple[int, ...], float | Scalar] = {}
            for factor, part in zip(factors, operators, strict=True):
                found = partial_factors(part)
                if found is None:
                    return None
                for coordinates, inner in found.items():
                    total[coordinates] = total.get(coordinates, 0.0) + factor * inner
            return total
    return None


def read_partials(
    field: ScalarField, x: Point, sums: Mapping[str, Mapping[tuple[int, ...], float | Scalar]]
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
