"""Learning rates as functions of the step, each from (learning_rate, steps).

Their numbers are arrays, which a compiled step takes as arguments: one program, found again in a
cache, serves all rates and lengths. Those of a plain closure, such as optax's own, are constants
in it.
"""

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from stde_cli.system.ranges import Count, NonNegative, Positive, ProperFraction
from stde_cli.system.types import Scalar


def constant(learning_rate: Positive, steps: Count) -> optax.Schedule:
    """The same rate throughout."""
    return eqx.Partial(_constant, jnp.asarray(learning_rate, float))


def linear(
    learning_rate: Positive, steps: Count, final_fraction: NonNegative = 0.0
) -> optax.Schedule:
    """From `learning_rate` to `final_fraction` of it over the run, as in [STDE] section 5.1."""
    last = final_fraction * learning_rate
    return eqx.Partial(_linear, *_numbers(learning_rate, last, steps))


def cosine(
    learning_rate: Positive,
    steps: Count,
    warmup_fraction: ProperFraction = 0.05,
    final_fraction: NonNegative = 0.0,
) -> optax.Schedule:
    """A linear rise over `warmup_fraction` of the run, then half a cosine down."""
    warmup = int(warmup_fraction * steps)
    return eqx.Partial(_cosine, *_numbers(learning_rate, final_fraction, warmup, steps))


def exponential(learning_rate: Positive, steps: Count, decay: Positive = 0.9995) -> optax.Schedule:
    """Multiplied by `decay` at every step, as in [STDE] section 5.2."""
    return eqx.Partial(_exponential, *_numbers(learning_rate, decay))


def piecewise(
    learning_rate: Positive, steps: Count, factors: Mapping[float, float]
) -> optax.Schedule:
    """Multiplied by factors[fraction] once that fraction of the run is done."""
    at = [round(float(fraction) * steps) for fraction in factors]
    by = [float(factor) for factor in factors.values()]
    if min(by, default=0.0) < 0:
        raise ValueError("a factor is negative")
    rate = jnp.asarray(learning_rate, float)
    return eqx.Partial(_piecewise, rate, jnp.asarray(at, int), jnp.asarray(by, float))


def _numbers(*found: float) -> tuple[Scalar, ...]:
    return tuple(jnp.asarray(number, float) for number in found)


def _constant(rate: Scalar, step: Int[Array, ""] | int) -> Scalar:
    return rate


def _linear(first: Scalar, last: Scalar, steps: Scalar, step: Int[Array, ""] | int) -> Scalar:
    return last + (first - last) * (1 - jnp.clip(step / steps, 0, 1))


def _cosine(
    rate: Scalar, last: Scalar, warmup: Scalar, steps: Scalar, step: Int[Array, ""] | int
) -> Scalar:
    fallen = jnp.clip((step - warmup) / (steps - warmup), 0, 1)
    half = 0.5 * (1 + jnp.cos(jnp.pi * fallen))
    return rate * jnp.where(step < warmup, step / warmup, last + (1 - last) * half)


def _exponential(rate: Scalar, decay: Scalar, step: Int[Array, ""] | int) -> Scalar:
    return rate * decay**step


def _piecewise(
    rate: Scalar,
    at: Int[Array, " pieces"],
    by: Float[Array, " pieces"],
    step: Int[Array, ""] | int,
) -> Scalar:
    return rate * jnp.prod(jnp.where(step >= at, by, 1.0))
