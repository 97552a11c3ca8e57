"""Jets of single curves. The only file that sees `jax.experimental.jet`."""

import jax.numpy as jnp
from jax.experimental import jet
from jaxtyping import Array, Float

from stde_cli._types import Point, ScalarField


def pure_derivatives(field: ScalarField, x: Point, v: Point, order: int) -> Float[Array, " order"]:
    """d^k/dt^k field(x + t v) at t = 0, for k = 1 ... order.

    The jet (v, 0, ..., 0) pushed through `field` ([STDE] equation 7). Coefficients are derivatives,
    not derivatives over k!.

    Raises:
        ValueError: `field` uses a primitive that Taylor mode has no rule for; the message names it.
    """
    series = [v] + [jnp.zeros_like(v)] * (order - 1)
    try:
        _, coefficients = jet.jet(field, (x,), (series,))
    except (KeyError, NotImplementedError) as error:
        raise ValueError(
            f"jax.experimental.jet has no rule for the primitive {error}; "
            "use another activation, or the estimator stde, which takes any primitive"
        ) from error
    return jnp.stack(coefficients)
