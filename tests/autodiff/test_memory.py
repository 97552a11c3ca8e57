"""Temporary memory, by XLA's own analysis, of a loss's gradient along 1 direction and along 64.

Nothing of the size of points x directions x dim is held; along coordinates nothing of the size of
directions x dim either. Programs are compiled from shapes and never run.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.ansatz.hard_constraint import HardConstraint, without_network
from stde_cli.autodiff.directions import AbstractSampler, Dense, Stratified
from stde_cli.autodiff.restriction import restrict
from stde_cli.autodiff.taylor import value_and_trace
from stde_cli.estimators import STDE
from stde_cli.expressions import Field, Layout
from stde_cli.problem.constraints import VanishWhere
from stde_cli.problem.operators import AbstractOperator, Laplacian, Polyharmonic
from stde_cli.system.prng import make_key
from stde_cli.system.types import ScalarField
from tests.helpers import point_inside, random_guess, random_network

DIM, MANY, POINTS = 100_000, 64, 32
SAMPLERS = {"stratified": Stratified(), "rademacher": Dense("rademacher")}
OPERATORS = {"laplacian": lambda dim: Laplacian(), "biharmonic": lambda dim: Polyharmonic(2)}


def constraint(dim: int) -> VanishWhere:
    layout = Layout((("x", dim),))
    text = "(1 - norm2(x))*(2 + sum(i, sin(x[i]*x[i+1] + x1)))"
    return VanishWhere(Field.parse(text, layout, {}, where="here"))


def ansatz(dim: int) -> HardConstraint:
    return HardConstraint(random_network(dim, width=3, depth=2), constraint(dim))


def start(dim: int) -> ScalarField:
    """What a start differentiates."""
    return without_network(constraint(dim), random_guess(constraint(dim), range(dim)), None)


FIELDS: dict[str, Callable[[int], ScalarField]] = {"ansatz": ansatz, "start": start}


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("operator", "field"), [("laplacian", "ansatz"), ("biharmonic", "start")])
def test_memory_does_not_grow_with_directions(operator: str, sampler: str, field: str) -> None:
    few, many = (
        temporary(SAMPLERS[sampler], count, OPERATORS[operator], FIELDS[field])
        for count in (1, MANY)
    )
    assert many - few < MANY * POINTS * DIM / 4


def temporary(
    sampler: AbstractSampler,
    count: int,
    operator: Callable[[int], AbstractOperator],
    field: Callable[[int], ScalarField],
) -> float:
    """Numbers that the gradient of a loss in the parameters holds for a while."""
    shapes = eqx.filter_eval_shape(field, DIM)
    parameters, static = eqx.partition(shapes, lambda a: isinstance(a, jax.ShapeDtypeStruct))
    operators, estimator = {"value": operator(DIM)}, STDE(sampler, count)

    def loss(parameters: Any, x: jax.Array, key: jax.Array) -> jax.Array:
        drawn = estimator.draw(operators, DIM, key=key)
        u = eqx.combine(parameters, static)
        return jnp.mean(jax.vmap(lambda x: estimator(u, operators, x, drawn)[1]["value"] ** 2)(x))

    x = jax.ShapeDtypeStruct((POINTS, DIM), jnp.float32)
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

    found, expected = jax.jit(both)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    slopes = jax.jit(jax.jacrev(both))(x)
    np.testing.assert_allclose(*slopes, rtol=1e-7, atol=1e-9 * float(jnp.abs(slopes[1]).max()))
