"""Temporary memory, by XLA's own analysis, of a loss's gradient along 1 direction and along 64.

Nothing of the size of points x directions x dim is held. There are as many points as directions, so
the table does not tell one array of directions x dim from one of points x dim. Programs are
compiled from shapes and never run.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.ansatz.hard_constraint import HardConstraint, without_network
from stde_cli.ansatz.periodic import Embedded, Embedding
from stde_cli.autodiff.directions import AbstractSampler, Dense, Stratified
from stde_cli.autodiff.restriction import restrict
from stde_cli.autodiff.taylor import value_and_trace
from stde_cli.estimators import STDE
from stde_cli.expressions import Field, Layout
from stde_cli.problem.constraints import VanishWhere
from stde_cli.problem.domains import Torus
from stde_cli.problem.operators import (
    AbstractOperator,
    Divergence,
    GradientNorm,
    Laplacian,
    Polyharmonic,
    SecondOrder,
    SumOfPartials,
    WeightedTrace,
)
from stde_cli.system.prng import make_key
from stde_cli.system.types import ScalarField
from tests.helpers import point_inside, random_guess, random_network

DIM, MANY, POINTS = 10_000_000, 64, 64
"""Many coordinates, so that what belongs to directions alone is small beside one point."""

SAMPLERS = {"stratified": Stratified(), "rademacher": Dense("rademacher")}
OPERATORS: dict[str, Callable[[int], AbstractOperator]] = {
    "laplacian": lambda dim: Laplacian(),
    "biharmonic": lambda dim: Polyharmonic(2),
    "gradient_norm": lambda dim: GradientNorm(),
    "divergence": lambda dim: Divergence(lambda x: 1 + jnp.sum(x**2)),
    "diagonal": lambda dim: WeightedTrace(jnp.ones(dim)),
    "number at a point": lambda dim: WeightedTrace(lambda x: 1 + x[0]),
    "diagonal at a point": lambda dim: WeightedTrace(lambda x: 1 + x),
    "third": lambda dim: SumOfPartials((3,)),
    "matrix": lambda dim: WeightedTrace(jnp.eye(dim) + 1),
    "second_order": lambda dim: SecondOrder(jnp.eye(dim) - 2),
}
MATRICES = "matrix", "second_order"
QUICK = {
    ("laplacian", "stratified", "ansatz"),
    ("laplacian", "rademacher", "start"),
    ("biharmonic", "stratified", "network"),
    ("divergence", "stratified", "network"),
    ("number at a point", "rademacher", "network"),
    ("diagonal at a point", "stratified", "network"),
    ("second_order", "stratified", "network"),
}
HELD = {"diagonal at a point": "rademacher", "third": "rademacher"}
"""Dense directions of each point's own, which docs/architecture.md names; and what is refused."""


def constraint(dim: int) -> VanishWhere:
    layout = Layout((("x", dim),))
    text = "(1 - norm2(x))*(2 + sum(i, sin(x[i]*x[i+1] + x1)))"
    return VanishWhere(Field.parse(text, layout, {}, where="here"))


def ansatz(dim: int) -> HardConstraint:
    return HardConstraint(random_network(dim, width=3, depth=2), constraint(dim))


def start(dim: int) -> ScalarField:
    """What a start differentiates."""
    return without_network(constraint(dim), random_guess(constraint(dim), range(dim)), None)


def network(dim: int) -> ScalarField:
    return random_network(dim, width=3, depth=2)


def periodic(dim: int) -> ScalarField:
    embedding = Embedding(Torus(0.0, 1.0, copies=dim))
    return Embedded(random_network(embedding.inputs, width=3, depth=2), embedding)


FIELDS: dict[str, Callable[[int], ScalarField]] = {
    "network": network,
    "ansatz": ansatz,
    "start": start,
    "periodic": periodic,
}
PERIODIC = {(operator, "stratified") for operator in ("laplacian", "biharmonic", "third")}
"""Where periodic coordinates are not moved as a whole."""


@pytest.mark.parametrize(
    ("operator", "sampler", "field"),
    [
        pytest.param(*row, marks=[] if row in QUICK else pytest.mark.slow)
        for row in product(OPERATORS, SAMPLERS, FIELDS)
        if HELD.get(row[0]) != row[1]
        and not (row[0] in MATRICES and row[2] != "network")
        and (row[2] != "periodic" or row[:2] in PERIODIC)
    ],
)
def test_memory_does_not_grow_with_directions(operator: str, sampler: str, field: str) -> None:
    """By a few points and a few sets of directions at most: 64 times as much would be each point's.

    A matrix is of dim x dim itself: it has fewer coordinates, and more points.
    """
    dim, points = (500, 4096) if operator in MATRICES else (DIM, POINTS)
    few, many = (
        temporary(SAMPLERS[sampler], count, OPERATORS[operator], FIELDS[field], dim, points)
        for count in (1, MANY)
    )
    along_coordinates = sampler == "stratified" and operator not in MATRICES
    sets = 0 if along_coordinates else 4
    assert many - few < (4 * points + sets * MANY) * dim


def temporary(
    sampler: AbstractSampler,
    count: int,
    operator: Callable[[int], AbstractOperator],
    field: Callable[[int], ScalarField],
    dim: int,
    points: int,
) -> float:
    """Numbers that the gradient of a loss in the parameters holds for a while."""
    shapes = eqx.filter_eval_shape(field, dim)
    parameters, static = eqx.partition(shapes, lambda a: isinstance(a, jax.ShapeDtypeStruct))
    operators, estimator = {"value": operator(dim)}, STDE(sampler, count)

    def loss(parameters: Any, x: jax.Array, key: jax.Array) -> jax.Array:
        drawn = estimator.draw(operators, dim, key=key)
        u = eqx.combine(parameters, static)
        return jnp.mean(jax.vmap(lambda x: estimator(u, operators, x, drawn)[1]["value"] ** 2)(x))

    x = jax.ShapeDtypeStruct((points, dim), jnp.float32)
    compiled = jax.jit(jax.grad(loss)).lower(parameters, x, make_key(0)).compile()
    memory = compiled.memory_analysis()
    assert memory is not None
    return memory.temp_size_in_bytes / 4


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_terms_in_blocks_are_the_terms(float64: None, sampler: str) -> None:
    """Value, trace and gradients, where sums fall into several blocks, the last one short."""
    dim, count = 1000, 3
    u, x = start(dim), point_inside(dim)
    directions = SAMPLERS[sampler](dim, count, key=make_key(1))

    def both(x: jax.Array) -> tuple[Any, Any]:
        def slow(s: jax.Array) -> jax.Array:
            return u(directions.displace(x, s))

        hessian = jax.hessian(slow)(jnp.zeros(count))
        found = value_and_trace(restrict(u, x, directions), count)
        return jnp.stack(found), jnp.stack([u(x), jnp.trace(hessian)])

    slopes, (found, expected) = jax.jit(jax.jacrev(lambda x: [both(x)] * 2, has_aux=True))(x)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_allclose(*slopes, rtol=1e-7, atol=1e-9 * float(jnp.abs(slopes[1]).max()))
