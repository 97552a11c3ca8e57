"""Speed and memory of training steps.

Every figure comes from whole training steps: points, directions, source, loss, gradient, optimizer.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pkgutil import resolve_name
from statistics import median, quantiles
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from omegaconf import DictConfig

from stde_cli.config.build import build
from stde_cli.jobs.benchmarks.child import Measurement
from stde_cli.jobs.benchmarks.pytorch import Training
from stde_cli.jobs.benchmarks.training import (
    fitting_executable,
    fitting_initialisation,
    fitting_shapes,
    take_steps,
)
from stde_cli.system.resources import device_name, peak_memory_mb
from stde_cli.training.state import parameter_count

COLUMNS = {
    "steps/s": "steps_per_second",
    "± %": "spread_percent",
    "ratio": "ratio",
    "compile s": "compile_seconds",
    "temp MB": "temp_memory_mb",
    "peak MB": "peak_memory_mb",
    "time/floor": "time_over_floor",
}
_POINT_PASSES = 4
"""Least passes over a batch of points: write it, read it for source, forward and backward."""
_PARAMETER_PASSES = 9
"""Adam's: weights read twice and written, gradient and both moments read and written."""


class Figures(NamedTuple):
    """The figures of one cell. None where it did not run; `note` then says why."""

    steps_per_second: float | None = None
    """The median of the blocks."""
    spread_percent: float | None = None
    """Half the range of the middle half of the blocks, of their median; None for one block."""
    compile_seconds: float | None = None
    temp_memory_mb: float | None = None
    peak_memory_mb: float | None = None
    time_over_floor: float | None = None
    bandwidth_gb_per_s: float | None = None
    device: str | None = None
    note: str | None = None


def speed_of(row: Mapping[str, Any]) -> float | None:
    """What ratios are of."""
    return row.get("steps_per_second")


def turns(config: DictConfig) -> int:
    """How often a measurement takes its turn."""
    return config.bench.blocks + 1


def measure(config: DictConfig) -> Measurement:
    """Compile the training step of `config` and time it in blocks, a turn each; gives `Figures`."""
    if resolve_name(config.estimator._target_).trains_itself:
        return (yield from _measure_apart(config))
    abstract = fitting_shapes(config)
    bandwidth = _bandwidth()
    built = build(config)
    executable = fitting_executable(config, built.problem, abstract)
    state = fitting_initialisation(config, built)()

    def take(steps: int) -> float:
        nonlocal state
        state, seconds = take_steps(executable, state, steps, config.train.steps_per_call)
        return seconds

    rates = yield from _rates(config, take)
    rate = median(rates)
    floor = _floor_bytes(parameter_count(abstract.ansatz.network), config) / bandwidth
    return Figures(
        steps_per_second=rate,
        spread_percent=_spread_percent(rates),
        compile_seconds=executable.compile_seconds,
        temp_memory_mb=executable.temp_memory_bytes / 1e6,
        peak_memory_mb=peak_memory_mb(),
        time_over_floor=1 / rate / floor,
        bandwidth_gb_per_s=bandwidth / 1e9,
        device=device_name(),
    )


def _measure_apart(config: DictConfig) -> Measurement:
    """A step that is not ours, and that nobody compiles."""
    rates = yield from _rates(config, Training(config).take)
    return Figures(
        steps_per_second=median(rates),
        spread_percent=_spread_percent(rates),
        peak_memory_mb=peak_memory_mb(),
        device="cpu",
    )


def _rates(
    config: DictConfig, take: Callable[[int], float]
) -> Generator[str, None, Sequence[float]]:
    """Steps a second in each block; `take` says how long so many steps took."""
    take(1)
    steps = max(1, int(config.bench.block_seconds / take(1)))
    steps = max(1, int(config.bench.block_seconds * steps / take(steps)))
    rates = []
    for block in range(config.bench.blocks):
        yield f"block {block + 1} of {config.bench.blocks}"
        rates.append(steps / take(steps))
    return rates


def _spread_percent(rates: Sequence[float]) -> float | None:
    if len(rates) < 2:
        return None
    low, middle, high = quantiles(rates, n=4, method="inclusive")
    return 100 * (high - low) / 2 / middle


def _floor_bytes(parameters: int, config: DictConfig) -> float:
    """Memory traffic that no implementation of a step can avoid once arrays outgrow the caches."""
    itemsize = jnp.result_type(float).itemsize
    points = config.train.points * config.dim
    return itemsize * (_PARAMETER_PASSES * parameters + _POINT_PASSES * points)


def _bandwidth() -> float:
    """Bytes a second of y <- y + 1 over an array far larger than any cache."""
    size = 1 << 26
    update = jax.jit(lambda y: y + 1, donate_argnums=0)
    y = update(jnp.zeros(size, jnp.float32))
    seconds = []
    for _ in range(7):
        y.block_until_ready()
        start = time.perf_counter()
        y = update(y)
        y.block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2 * 4 * size / median(seconds)
