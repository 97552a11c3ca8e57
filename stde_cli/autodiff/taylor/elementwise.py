"""Derivatives of elementwise functions to any order, in closed form where that is short.

The derivatives of tanh, of the logistic function and of erf are a factor that decays times a
polynomial; its integer coefficients follow from a recurrence when the function is traced.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex_core
from numpy.polynomial import Polynomial

from stde_cli.autodiff.taylor.interpreter import is_real

Slopes = list[jax.Array]
"""f, f', f'' ... at a point."""


def knows(name: str, equation: jex_core.JaxprEqn) -> bool:
    """Whether `derivatives` has the primitive, with its only real operand moving."""
    return name in _RULES and sum(is_real(atom) for atom in equation.invars) == 1


def derivatives(name: str, params: Mapping[str, Any], z: jax.Array, order: int) -> Slopes:
    """f, f' ... f^(order) at z."""
    return _RULES[name](z, order, params)


def nested(f: Callable[[jax.Array], jax.Array], z: jax.Array, order: int) -> Slopes:
    """f, f' ... f^(order) at z for any elementwise f, by nested `jax.jvp`."""
    slopes, one = [f(z)], jnp.ones_like(z)
    for _ in range(order):
        f = _slope(f, one)
        slopes.append(f(z))
    return slopes


def _slope(f: Callable[[jax.Array], jax.Array], one: jax.Array) -> Callable[[jax.Array], jax.Array]:
    return lambda z: jax.jvp(f, (z,), (one,))[1]


def _tanh(z: jax.Array, order: int) -> Slopes:
    """tanh^(n) = sech^2(z) y^k Q_n(sech^2(z)), y = tanh(z), k = 0 for odd n and 1 for even n.

    By y' = sech^2 every derivative is a polynomial in y that has the factor 1 - y^2. That factor,
    taken as 1 - y^2, and powers of a y near one lose all digits where tanh saturates, so sech^2 is
    computed by itself, and the rest is a polynomial in it.
    """
    y, decay = jnp.tanh(z), jnp.exp(-2 * jnp.abs(z))
    squared = 4 * decay / (1 + decay) ** 2
    slopes, slope = [y], Polynomial([1, 0, -1])
    for n in range(1, order + 1):
        rest = (slope // Polynomial([1, 0, -1])).coef.round()
        # The powers of y are all odd or all even: y^2 = 1 - sech^2 leaves one y at most.
        powers = rest[(n - 1) % 2 :: 2]
        factor = _horner(Polynomial(powers)(Polynomial([1, -1])).coef, squared)
        slopes.append(squared * factor if n % 2 else y * (squared * factor))
        slope = slope.deriv() * Polynomial([1, 0, -1])
    return slopes


def _logistic(z: jax.Array, order: int, params: Mapping[str, Any]) -> Slopes:
    """(1 + tanh(z / 2)) / 2, differentiated."""
    slopes = _tanh(z / 2, order)
    return [jax.nn.sigmoid(z), *(slopes[n] / 2 ** (n + 1) for n in range(1, order + 1))]


def _horner(coefficients: np.ndarray, y: jax.Array) -> jax.Array:
    """sum_k coefficients[k] y^k; where only even or only odd powers occur, in y^2."""
    exact = [float(c) for c in coefficients]
    for parity in (0, 1):
        if len(exact) > 2 and not any(exact[1 - parity :: 2]):
            inner = _horner(np.array(exact[parity::2]), y * y)
            return y * inner if parity else inner
    total = jnp.full_like(y, exact[-1])
    for coefficient in reversed(exact[:-1]):
        total = total * y + coefficient if coefficient else total * y
    return total


def _cyclic(*cycle: Callable[[jax.Array], jax.Array]) -> Callable[..., Slopes]:
    def rule(z: jax.Array, order: int, params: Mapping[str, Any]) -> Slopes:
        values = [f(z) for f in cycle]
        return [values[n % len(cycle)] for n in range(order + 1)]

    return rule


def _power(z: jax.Array, order: int, exponent: float) -> Slopes:
    slopes, factor = [], 1.0
    for n in range(order + 1):
        slopes.append(factor * z ** (exponent - n) if factor else jnp.zeros_like(z))
        factor *= exponent - n
    return slopes


def _reciprocal(z: jax.Array, order: int, params: Mapping[str, Any]) -> Slopes:
    inverse = 1 / z
    slopes = [inverse]
    for n in range(1, order + 1):
        slopes.append(-n * slopes[-1] * inverse)
    return slopes


def _log(z: jax.Array, order: int, params: Mapping[str, Any]) -> Slopes:
    return [jnp.log(z), *_reciprocal(z, order, params)][: order + 1]


def _square_root(z: jax.Array, order: int, params: Mapping[str, Any]) -> Slopes:
    slopes, inverse = [jnp.sqrt(z)], 1 / z
    for n in range(order):
        slopes.append((0.5 - n) * slopes[-1] * inverse)
    return slopes


def _erf(z: jax.Array, order: int, params: Mapping[str, Any]) -> Slopes:
    """erf^(n+1)(z) = 2/sqrt(pi) (-1)^n H_n(z) exp(-z^2), H_n the Hermite polynomials."""
    gaussian = 2 / math.sqrt(math.pi) * jnp.exp(-z * z)
    slopes, polynomial = [jax.lax.erf(z)], Polynomial([1])
    for _ in range(order):
        slopes.append(gaussian * _horner(polynomial.coef, z))
        polynomial = polynomial.deriv() - Polynomial([0, 2]) * polynomial
    return slopes


_RULES: dict[str, Callable[[jax.Array, int, Mapping[str, Any]], Slopes]] = {
    "tanh": lambda z, order, params: _tanh(z, order),
    "logistic": _logistic,
    "exp": _cyclic(jnp.exp),
    "sin": _cyclic(jnp.sin, jnp.cos, lambda z: -jnp.sin(z), lambda z: -jnp.cos(z)),
    "cos": _cyclic(jnp.cos, lambda z: -jnp.sin(z), lambda z: -jnp.cos(z), jnp.sin),
    "sinh": _cyclic(jnp.sinh, jnp.cosh),
    "cosh": _cyclic(jnp.cosh, jnp.sinh),
    "log": _log,
    "sqrt": _square_root,
    "erf": _erf,
    "square": lambda z, order, params: _power(z, order, 2),
    "integer_pow": lambda z, order, params: _power(z, order, params["y"]),
    "reciprocal": _reciprocal,
}
