"""Jets of single curves. The only file that sees `jax.experimental.jet`."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.experimental import jet
from jax.extend import core as jex_core
from jaxtyping import Array, Float

from stde_cli._types import Point, ScalarField

_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "remat": "jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}
"""Primitives that call a function, with the parameter that holds it."""


def pure_derivatives(field: ScalarField, x: Point, v: Point, order: int) -> Float[Array, " order"]:
    """d^k/dt^k field(x + t v) at t = 0, for k = 1 ... order.

    The jet (v, 0, ..., 0) pushed through `field` ([STDE] equation 7). Coefficients are derivatives,
    not derivatives over k!. Custom derivative rules are set aside: Taylor mode differentiates what
    the function does.

    Raises:
        ValueError: `field` uses a primitive that Taylor mode has no rule for; the message names it.
    """
    closed = jax.make_jaxpr(field)(x)
    series = [v] + [jnp.zeros_like(v)] * (order - 1)
    _, (coefficients,) = jet.jet(
        lambda x: _evaluate(closed.jaxpr, closed.consts, [x]), (x,), (series,)
    )
    return jnp.stack(coefficients)


def _evaluate(jaxpr: jex_core.Jaxpr, consts: Sequence, arguments: Sequence) -> list:
    """The outputs of `jaxpr`, calls inlined: jet's tracers escape from custom derivatives."""
    values: dict[jex_core.Var, jax.Array] = {}

    def read(atom):
        return atom.val if isinstance(atom, jex_core.Literal) else values[atom]

    values.update(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))
    for equation in jaxpr.eqns:
        outputs = _apply(equation, [read(atom) for atom in equation.invars])
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _apply(equation: jex_core.JaxprEqn, operands: list) -> list:
    name = equation.primitive.name
    if name in _CALLS:
        inner = equation.params[_CALLS[name]]
        if isinstance(inner, jex_core.ClosedJaxpr):
            return _evaluate(inner.jaxpr, inner.consts, operands)
        return _evaluate(inner, (), operands)
    try:
        params = equation.primitive.get_bind_params(equation.params)
        out = equation.primitive.bind(*operands, **params)
    except (KeyError, TypeError) as error:
        # A table without the primitive, or a rule that does not take these operands.
        raise ValueError(
            f"jax.experimental.jet has no rule for the primitive {name}; "
            "use another activation, or the estimator stde, which takes any primitive"
        ) from error
    return list(out) if equation.primitive.multiple_results else [out]
