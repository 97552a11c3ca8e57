"""Sine and cosine together, in a form that XLA fuses with what surrounds it.

On the CPU, XLA computes float32 sine and cosine out of line, each a pass over memory. Sources need
both of every coordinate; here they are two short polynomials after one shared range reduction.
"""

import math

import jax
import jax.numpy as jnp

# pi/2 in three parts, the first two with few enough bits that products with small integers are
# exact (Cody and Waite, "Software manual for the elementary functions", 1980).
_HALF_PI = (1.5703125, 4.837512969970703125e-4, 7.549789948768648e-8)
# Least-maximum-error polynomials on [-pi/4, pi/4] (Moshier, Cephes library, sinf.c).
_SIN = (-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4)
_COS = (4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5)


@jax.custom_jvp
def sin_cos(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """sin x and cos x, entry by entry.

    In float32 the absolute error is below 1.5e-7 for |x| < 1000, where an argument's own rounding
    is already 3e-5; other dtypes use the library functions.

    Each is the other's derivative but for a sign, as accurate as the values are: the derivatives
    of the polynomials are neither computed nor trusted.
    """
    if x.dtype != jnp.float32:
        return jnp.sin(x), jnp.cos(x)
    quadrant = jnp.round(x * jnp.float32(2 / math.pi))
    y = x
    for part in _HALF_PI:
        y = y - quadrant * jnp.float32(part)
    z = y * y
    sin = y + y * z * (_SIN[0] + z * (_SIN[1] + z * _SIN[2]))
    cos = 1 - 0.5 * z + z * z * (_COS[0] + z * (_COS[1] + z * _COS[2]))
    turns = quadrant.astype(jnp.int32)
    odd = (turns & 1) == 1
    sin, cos = jnp.where(odd, cos, sin), jnp.where(odd, sin, cos)
    return (
        jnp.where((turns & 2) == 2, -sin, sin),
        jnp.where(((turns + 1) & 2) == 2, -cos, cos),
    )


@sin_cos.defjvp
def _sin_cos_jvp(primals, tangents):
    (x,), (tangent,) = primals, tangents
    sin, cos = sin_cos(x)
    return (sin, cos), (cos * tangent, -sin * tangent)
