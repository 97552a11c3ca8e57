"""Derivatives of elementwise functions to any order, in closed form where that is short.

The derivatives of tanh, of the logistic function and of erf are polynomials in a value that is
already there; their integer coefficients follow from a recurrence when the function is traced.
"""

from collections.abc import Callable, Mapping, Sequence
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


def _autonomous(
    value: Callable[[jax.Array], jax.Array], slope: Sequence[int]
) -> Callable[[jax.Array, int, Mapping[str, Any]], Slopes]:
    """For f' = P(f) with the polynomial P: f^(n+1) = (d/df f^(n)) P(f)."""

    def rule(z: jax.Array, order: int, params: Mapping[str, Any]) -> Slopes:
        y, polynomial, slopes = value(z), Polynomial([0, 1]), []
        for _ in range(order + 1):
            slopes.append(_horner(polynomial.coef, y))
            polynomial = polynomial.deriv() * Polynomial(slope)
        return slopes

    return rule


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
    gaussian = 2 / np.sqrt(np.pi) * jnp.exp(-z * z)
    slopes, polynomial = [jax.lax.erf(z)], Polynomial([1])
    for _ in range(order):
        slopes.append(gaussian * _horner(polynomial.coef, z))
        polynomial = polynomial.deriv() - Polynomial([0, 2]) * polynomial
    return slopes


_RULES: dict[str, Callable[[jax.Array, int, Mapping[str, Any]], Slopes]] = {
    "tanh": _autonomous(jnp.tanh, (1, 0, -1)),
    "logistic": _autonomous(jax.nn.sigmoid, (0, 1, -1)),
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
