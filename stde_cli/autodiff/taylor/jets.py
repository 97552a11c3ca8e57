"""Jets of single curves. The only file that sees `jax.experimental.jet`."""

import jax
import jax.numpy as jnp
from jax.experimental import jet
from jax.extend import core as jex_core
from jaxtyping import Array, Float

from stde_cli.autodiff.taylor.interpreter import CALLS, evaluate, interpret
from stde_cli.system.types import Point, Scalar, ScalarField

_CALLS = {**CALLS, "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}
"""Calls are inlined, those with rules of their own too: jet's tracers would escape from them."""


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

    def inlined(x: Point) -> Scalar:
        (out,) = interpret(closed, [x], _apply, lambda constant: constant, _CALLS)
        return out

    _, coefficients = jet.jet(inlined, (x,), (series,))
    return jnp.stack(coefficients)


def _apply(equation: jex_core.JaxprEqn, operands: list) -> list:
    try:
        return evaluate(equation, operands)
    except (KeyError, TypeError) as error:
        # A table without the primitive, or a rule that does not take these operands.
        raise ValueError(
            f"jax.experimental.jet has no rule for the primitive {equation.primitive.name}; "
            "use another activation, or the estimator stde, which takes any primitive"
        ) from error
