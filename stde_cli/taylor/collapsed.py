"""Collapsed Taylor mode of second order: the trace of a Hessian in one forward pass.

For g: R^r -> R, write each intermediate value along the r coordinate directions as a 2-jet
(p, t_1 ... t_r, q_1 ... q_r). Only the sum q = sum_k q_k is wanted at the end, and it obeys a rule
of its own: for y = f(z),

    p_y = f(p_z),   t_y,k = Df(p_z) t_z,k,   q_y = Df(p_z) q_z + sum_k D^2f(p_z)(t_z,k, t_z,k),

so r + 2 arrays are propagated instead of 2r + 1 (Dangel et al., "Collapsing Taylor mode automatic
differentiation", NeurIPS 2025; for the Laplacian: Li et al., "Forward Laplacian", 2023).

`value_and_trace` interprets the jaxpr of g. It knows three kinds of primitive by name: linear ones
(no second-order term), elementwise ones (f'' times the sum of squares) and products. Any other
primitive, loops and sorts included, takes the definition above literally, by nested `jax.jvp`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core as jex_core
from jaxtyping import Array, Float

from stde_cli._types import RestrictedField, Scalar
from stde_cli.taylor.interpreter import (
    LINEAR,
    PRODUCTS,
    evaluate,
    interpret,
    is_entrywise,
    is_real,
)


class _Jet(NamedTuple):
    """A value along the directions: None stands for zero. `first` has the directions in front."""

    primal: jax.Array
    first: jax.Array | None = None
    second: jax.Array | None = None

    @property
    def moves(self) -> bool:
        return self.first is not None or self.second is not None


def value_and_trace(field: RestrictedField, directions: int) -> tuple[Scalar, Scalar]:
    """g(0) and sum_k d^2g/ds_k^2 (0) for g = `field` on R^directions.

    Differentiable in whatever `field` closes over, in reverse mode too.
    """
    origin = jnp.zeros(directions)
    closed = jax.make_jaxpr(field)(origin)
    seed = _Jet(origin, jnp.eye(directions))
    (out,) = interpret(closed, [seed], _push, _Jet)
    trace = jnp.zeros_like(out.primal) if out.second is None else out.second
    return out.primal, trace


def _push(equation: jex_core.JaxprEqn, inputs: list[_Jet]) -> list[_Jet]:
    """The jets of an equation's outputs."""
    name = equation.primitive.name
    moving = [k for k, jet in enumerate(inputs) if jet.moves]

    def apply(*moved: jax.Array) -> list[jax.Array]:
        operands = [jet.primal for jet in inputs]
        for k, value in zip(moving, moved, strict=True):
            operands[k] = value
        return evaluate(equation, operands)

    real = [k for k, atom in enumerate(equation.outvars) if is_real(atom)]

    def apply_real(*moved: jax.Array) -> list[jax.Array]:
        out = apply(*moved)
        return [out[k] for k in real]

    primals = [inputs[k].primal for k in moving]
    if not moving or not real:
        return [_Jet(value) for value in apply(*primals)]

    firsts = _fill([inputs[k].first for k in moving], primals, directions=_count(inputs))
    seconds = _fill([inputs[k].second for k in moving], primals)
    if is_entrywise(equation, moving):
        return [_push_entrywise(apply, primals[0], firsts, seconds)]

    first = (
        None if firsts is None else jax.vmap(lambda t: _directional(apply_real, primals, t))(firsts)
    )
    second = None if seconds is None else _directional(apply_real, primals, seconds)
    if firsts is not None and name not in LINEAR and not (name in PRODUCTS and len(moving) == 1):
        if name in PRODUCTS:
            # The product rule, where both factors move: D^2f(t, t) = 2 f(t_left, t_right).
            curvature = [2 * jnp.sum(y, axis=0) for y in jax.vmap(apply)(*firsts)]
        else:
            curvature = _curvature(apply_real, primals, firsts)
        second = (
            curvature if second is None else [a + b for a, b in zip(curvature, second, strict=True)]
        )
    jets = [_Jet(value) for value in apply(*primals)]
    for position, k in enumerate(real):
        parts = (None if part is None else part[position] for part in (first, second))
        jets[k] = _Jet(jets[k].primal, *parts)
    return jets


def _push_entrywise(apply, primal, firsts, seconds) -> _Jet:
    """y = f(z) entry by entry: t_y = f' t and q_y = f' q + f'' sum_k t_k^2."""

    def value(z):
        return apply(z)[0]

    def slope(z):
        return jax.jvp(value, (z,), (jnp.ones_like(z),))

    if firsts is None:
        y, f1 = slope(primal)
        return _Jet(y, None, f1 * seconds[0])
    (y, f1), (_, f2) = jax.jvp(slope, (primal,), (jnp.ones_like(primal),))
    second = f2 * jnp.sum(firsts[0] ** 2, axis=0)
    if seconds is not None:
        second = second + f1 * seconds[0]
    return _Jet(y, f1 * firsts[0], second)


def _directional(apply, primals, tangents) -> list[jax.Array]:
    return jax.jvp(apply, tuple(primals), tuple(tangents))[1]


def _curvature(apply, primals, firsts) -> list[Float[Array, "..."]]:
    """sum_k D^2 apply(t_k, t_k), by the definition."""

    def along(*tangents):
        def slope(*z):
            return _directional(apply, z, tangents)

        return jax.jvp(slope, tuple(primals), tuple(tangents))[1]

    return [jnp.sum(y, axis=0) for y in jax.vmap(along)(*firsts)]


def _fill(parts, primals, directions: int | None = None) -> list[jax.Array] | None:
    """Zeros for the operands that do not move at this order; None where none of them does."""
    if all(part is None for part in parts):
        return None
    lead = () if directions is None else (directions,)
    return [
        jnp.zeros(lead + p.shape, p.dtype) if part is None else part
        for part, p in zip(parts, primals, strict=True)
    ]


def _count(inputs: Sequence[_Jet]) -> int | None:
    return next((jet.first.shape[0] for jet in inputs if jet.first is not None), None)
