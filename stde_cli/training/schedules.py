"""Learning rates as functions of the step, each from (learning_rate, steps)."""

from collections.abc import Mapping

import optax

from stde_cli.system.ranges import Count, NonNegative, Positive, ProperFraction


def constant(learning_rate: Positive, steps: Count) -> optax.Schedule:
    """The same rate throughout."""
    return optax.constant_schedule(learning_rate)


def linear(
    learning_rate: Positive, steps: Count, final_fraction: NonNegative = 0.0
) -> optax.Schedule:
    """From `learning_rate` to `final_fraction` of it over the run, as in [STDE] section 5.1."""
    return optax.linear_schedule(learning_rate, final_fraction * learning_rate, steps)


def cosine(
    learning_rate: Positive,
    steps: Count,
    warmup_fraction: ProperFraction = 0.05,
    final_fraction: NonNegative = 0.0,
) -> optax.Schedule:
    """A linear rise over `warmup_fraction` of the run, then half a cosine down."""
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=learning_rate,
        warmup_steps=int(warmup_fraction * steps),
        decay_steps=steps,
        end_value=final_fraction * learning_rate,
    )


def exponential(learning_rate: Positive, steps: Count, decay: Positive = 0.9995) -> optax.Schedule:
    """Multiplied by `decay` at every step, as in [STDE] section 5.2."""
    return optax.exponential_decay(learning_rate, transition_steps=1, decay_rate=decay)


def piecewise(
    learning_rate: Positive, steps: Count, factors: Mapping[float, float]
) -> optax.Schedule:
    """Multiplied by factors[fraction] once that fraction of the run is done."""
    boundaries = {round(float(at) * steps): float(by) for at, by in factors.items()}
    return optax.piecewise_constant_schedule(learning_rate, boundaries)
