"""How jets are read: restricted, and collapsed where a sum is all that is wanted."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from stde_cli.autodiff.directions import AbstractDirections
from stde_cli.autodiff.restriction import restrict
from stde_cli.autodiff.taylor import COLLAPSED, down_closure, push_together, value_and_trace
from stde_cli.problem.operators import AbstractOperator, Jets, KnowsLaplacian, PartlyKnown
from stde_cli.system.types import Point, Scalar, ScalarField


def with_known_part_exact(
    field: ScalarField,
    operator: AbstractOperator,
    x: Point,
    estimate: Callable[[ScalarField], tuple[Scalar, Scalar]],
) -> tuple[Scalar, Scalar]:
    """u(x) and the operator at x. What comes of a known part of the field is not estimated.

    A start's guess and lift know their gradient and Laplacian in closed form: where these are all
    that the operator takes of them, `estimate` sees the rest of the field alone.
    """
    if isinstance(field, KnowsLaplacian):
        return operator.of_known(field, x) or estimate(field)
    if isinstance(field, PartlyKnown):
        rest, known = field.split()
        exactly = operator.of_known(known, x, rest)
        if exactly is not None:
            u, estimated = estimate(rest)
            return u + exactly[0], estimated + exactly[1]
    return estimate(field)


def read(field: ScalarField, x: Point, jets: Jets) -> tuple[Scalar, Scalar]:
    """u(x) and factor * sum_k weights[k] (D^|powers| u (v_k1, ...))^degree."""
    if jets.degree == 1 and jets.powers == (1,):
        value, reading = _first(field, x, jets)
    elif jets.degree == 1 and jets.powers == (2,) and not jets.signed:
        value, reading = _trace(field, x, jets)
    else:
        value, reading = _by_polynomials(field, x, jets)
    return value, jets.factor * reading


def _first(field: ScalarField, x: Point, jets: Jets) -> tuple[Scalar, Scalar]:
    """A sum of first derivatives is one derivative, along the sum of the directions."""
    g = restrict(field, x, as_one_set(jets.directions))
    return jax.jvp(g, (jnp.zeros_like(jets.weights),), (jets.weights,))


def _trace(field: ScalarField, x: Point, jets: Jets) -> tuple[Scalar, Scalar]:
    """Directions of length sqrt(w_k) bring the weights with them."""
    scaled = as_one_set(jets.directions).scaled(jnp.sqrt(jets.weights))
    return value_and_trace(restrict(field, x, scaled), jets.weights.size)


def _by_polynomials(field: ScalarField, x: Point, jets: Jets) -> tuple[Scalar, Scalar]:
    """One polynomial a set of directions, all of them through one restriction."""
    sets, unknowns = jets.directions.weights.shape
    g = restrict(field, x, as_one_set(jets.directions))
    seeds = jnp.eye(sets * unknowns, dtype=x.dtype).reshape(sets, unknowns, -1)
    units = {tuple(int(m == k) for m in range(unknowns)): seeds[:, k] for k in range(unknowns)}
    indices = down_closure([jets.powers])
    if jets.degree == 1:
        value, found = push_together(g, units, indices, {jets.powers: 1.0}, jets.weights)
        return value, found[COLLAPSED]
    value, found = push_together(g, units, indices)
    return value, jets.weights @ found[jets.powers] ** jets.degree


def as_one_set(directions: AbstractDirections) -> AbstractDirections:
    """r sets of T directions as one set of r T."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), directions)
