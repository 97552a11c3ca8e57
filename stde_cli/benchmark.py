"""Speed and memory of training steps, one method a process.

Every figure comes from whole training steps: points, directions, source, loss, gradient, optimizer.
"""

import signal
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from statistics import median
from typing import Any, TypedDict

import equinox as eqx
import jax
import jax.numpy as jnp
from omegaconf import DictConfig, OmegaConf

from stde_cli.config.build import abstract_state, build, configure_jax
from stde_cli.errors import StdeError, UsageError
from stde_cli.resources import available_memory_bytes, device_name, peak_memory_mb
from stde_cli.training import MAX_STEPS_PER_CALL, Executable
from stde_cli.training.state import parameter_count, state_bytes

_POINT_PASSES = 4
"""Least passes over a batch of points: write it, read it for source, forward and backward."""
_PARAMETER_PASSES = 9
"""Adam's: weights read twice and written, gradient and both moments read and written."""


class Row(TypedDict):
    """The figures of one method. None where it did not run; `note` then says why."""

    method: str
    pde: str
    dim: int
    points: int
    steps_per_second: float | None
    compile_seconds: float | None
    temp_memory_mb: float | None
    peak_memory_mb: float | None
    time_over_floor: float | None
    bandwidth_gb_per_s: float | None
    device: str | None
    note: str | None


def measure_in_child(method: str, config: DictConfig) -> Row:
    """Measure in a process of its own, so that its peak memory is that of this method alone."""
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    settings = OmegaConf.to_container(config, resolve=True)
    child = context.Process(target=_child, args=(method, settings, theirs))
    child.start()
    theirs.close()
    try:
        outcome = ours.recv()
    except EOFError:
        child.join()
        outcome = f"ended with status {child.exitcode}; -9 is the kernel's, out of memory"
    except BaseException:
        child.terminate()
        raise
    finally:
        child.join()
    if isinstance(outcome, StdeError):
        raise outcome
    return _empty(method, config, outcome) if isinstance(outcome, str) else outcome


def _child(method: str, settings: dict[str, Any], pipe: Connection) -> None:
    # An interrupt is the parent's to handle: it ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        pipe.send(measure(method, OmegaConf.create(settings)))
    except StdeError as error:
        pipe.send(error)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        pipe.send(str(error).splitlines()[0])


def measure(method: str, config: DictConfig) -> Row:
    """Compile the training step of `config` and time it in blocks, in this process."""
    configure_jax(config)
    abstract = abstract_state(config)
    lacking = _lacking_memory(config, state_bytes(abstract))
    if lacking:
        return _empty(method, config, lacking)
    bandwidth = _bandwidth()
    built = build(config)
    executable = Executable(built.problem, abstract)
    needed = executable.argument_memory_bytes + executable.temp_memory_bytes
    lacking = _lacking_memory(config, needed)
    if lacking:
        return _empty(method, config, lacking)
    state = eqx.filter_jit(built.initialise)()
    per_call = config.train.steps_per_call

    def block(state, steps: int):
        """Seconds for `steps` steps. Calls are queued: the host waits for the last alone."""
        length = min(per_call or steps, MAX_STEPS_PER_CALL)
        start = time.perf_counter()
        for done in range(0, steps, length):
            state, _ = executable(state, min(length, steps - done))
        jax.block_until_ready(eqx.filter(state, eqx.is_array))
        return state, time.perf_counter() - start

    state, _ = block(state, 1)
    state, once = block(state, 1)
    steps = max(1, int(config.bench.block_seconds / once))
    state, seconds = block(state, steps)
    steps = max(1, int(config.bench.block_seconds * steps / seconds))
    rates = []
    for _ in range(config.bench.blocks):
        state, seconds = block(state, steps)
        rates.append(steps / seconds)
    rate = median(rates)
    floor = _floor_bytes(parameter_count(abstract.ansatz.network), config) / bandwidth
    row = _empty(method, config, None)
    row.update(
        steps_per_second=rate,
        compile_seconds=executable.compile_seconds,
        temp_memory_mb=executable.temp_memory_bytes / 1e6,
        peak_memory_mb=peak_memory_mb(),
        time_over_floor=1 / rate / floor,
        bandwidth_gb_per_s=bandwidth / 1e9,
        device=device_name(),
    )
    return row


def check_methods(config: DictConfig) -> None:
    """Raises UsageError where a method has no variant."""
    if not config.bench.methods:
        raise UsageError("bench.methods", "[]", "there is nothing to measure")
    for method in config.bench.methods:
        if method not in config.bench.variants:
            known = ", ".join(config.bench.variants)
            raise UsageError("bench.methods", method, "no such variant", f"choose from {known}")


def _lacking_memory(config: DictConfig, needed: int) -> str | None:
    available = available_memory_bytes()
    if not config.runtime.check_memory or available is None or needed <= available:
        return None
    return f"needs {needed / 1e9:.1f} GB, {available / 1e9:.1f} GB are free"


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


def _empty(method: str, config: DictConfig, note: str | None) -> Row:
    return Row(
        method=method,
        pde=config.choices.get("pde"),
        dim=config.dim,
        points=config.train.points,
        steps_per_second=None,
        compile_seconds=None,
        temp_memory_mb=None,
        peak_memory_mb=None,
        time_over_floor=None,
        bandwidth_gb_per_s=None,
        device=None,
        note=note,
    )
