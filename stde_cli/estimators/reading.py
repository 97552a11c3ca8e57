"""How jets are read: restricted, and collapsed where a sum is all that is wanted."""

import jax
import jax.numpy as jnp

from stde_cli._types import Point, Scalar, ScalarField
from stde_cli.directions import AbstractDirections
from stde_cli.operators import Jets
from stde_cli.restriction import restrict
from stde_cli.taylor import COLLAPSED, down_closure, push, value_and_trace


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
