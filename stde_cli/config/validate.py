"""What must hold across fields, checked before anything is built. Each fault names its key."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from stde_cli.config.schema import BenchmarkConfig
from stde_cli.system.errors import UsageError
from stde_cli.system.prng import GENERATORS

_POSITIVE_INTEGERS = (
    "dim",
    "steps",
    "train.points",
    "train.condition_points",
    "train.redraw_every",
    "train.log_every",
    "train.steps_per_call",
    "evaluation.points",
    "evaluation.every",
    "evaluation.monitor_points",
    "checkpoint.every",
    "checkpoint.keep",
    "network.width",
    "network.block_size",
    "estimator.batch",
    "collocation.candidates",
    "weighting.every",
    "bench.blocks",
)
_POSITIVE_NUMBERS = (
    "checkpoint.minutes",
    "train.gradient_clip",
    "optimizer.learning_rate",
    "pde.radius",
    "bench.block_seconds",
    "bench.until",
)
_CHOICES = {
    "resume": ("never", "auto"),
    "runtime.precision": ("float32", "float64"),
    "runtime.matmul_precision": ("default", "high", "highest", "bfloat16", "tensorfloat32"),
    "runtime.generator": GENERATORS,
    "runtime.platform": (None, "cpu", "gpu", "cuda", "rocm", "tpu", "metal"),
    "network.activation": ("tanh", "sin", "gelu", "silu", "softplus"),
}
_LARGEST = {"dim": 2**31 - 1, "steps": 2**31 - 1}
"""Indices and steps are 32-bit."""


def validate(config: DictConfig) -> None:
    """Check values by themselves and against each other.

    Raises:
        UsageError: the first fault found.
    """
    known = {field.name for field in dataclasses.fields(BenchmarkConfig)}
    for key in config:
        if key not in known:
            raise UsageError(str(key), config[key], "no such key", "see: stde solve --cfg job")
    for key in _POSITIVE_INTEGERS:
        _check(
            config, key, lambda v: _is_whole(v) and v >= 1, "must be a whole number of 1 or more"
        )
    for key in _POSITIVE_NUMBERS:
        _check(config, key, lambda v: _is_number(v) and 0 < v < math.inf, "must be above 0")
    for key, limit in _LARGEST.items():
        _check(config, key, lambda v, limit=limit: v <= limit, f"must not exceed {limit}")
    for key, choices in _CHOICES.items():
        names = ", ".join("null" if c is None else c for c in choices)
        _check(config, key, lambda v, c=choices: v in c, f"must be one of {names}")
    if OmegaConf.select(config, "optimizer.learning_rate", default=1.0) is None:
        # Optax would take that for steps as long as the gradient, and uphill.
        raise UsageError("optimizer.learning_rate", "null", "must be above 0")
    _check(config, "seed", lambda v: 0 <= v < 2**32, "must be from 0 to 4294967295")
    _check(config, "network.depth", lambda v: _is_whole(v) and v >= 2, "must be 2 or more")
    _check_across(config)


def _check_across(config: DictConfig) -> None:
    dim = config.dim
    solution = OmegaConf.select(config, "pde.solution._target_")
    if solution is not None:
        needed = getattr(_locate(solution, "pde/solution"), "window", 1)
        if dim < needed:
            name = config.choices.get("pde/solution")
            raise UsageError("dim", dim, f"pde/solution={name} needs {needed} coordinates or more")
    batch = OmegaConf.select(config, "estimator.batch")
    text = OmegaConf.select(config, "pde.coordinates") is not None
    if batch is not None and batch > dim and not text:
        why = f"more directions than dim={dim} has"
        mend = f"set estimator.batch={dim} or fewer, or estimator=exact"
        raise UsageError("estimator.batch", batch, why, mend)
    block = OmegaConf.select(config, "network.block_size")
    # Of a PDE from text only its class knows how long a point is; the network will say.
    if block is not None and not text and dim % block:
        divisors = [b for b in range(1, min(dim, 10_000) + 1) if dim % b == 0]
        nearest = min(divisors, key=lambda b: abs(b - block))
        raise UsageError(
            "network.block_size", block, f"does not divide dim={dim}", f"{nearest} does"
        )


def _locate(target: str, key: str) -> Any:
    try:
        return get_object(target)
    except (ImportError, ValueError, InstantiationException) as error:
        raise UsageError(key, target, "cannot be imported", "check its _target_") from error


def _check(config: DictConfig, key: str, holds: Callable[[Any], bool], why: str) -> None:
    """The value at `key` satisfies `holds`; absent keys, and null unless it is a choice, pass."""
    missing = object()
    value = OmegaConf.select(config, key, default=missing)
    if value is missing or (value is None and None not in _CHOICES.get(key, ())):
        return
    if not holds(value):
        raise UsageError(key, value, why)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
