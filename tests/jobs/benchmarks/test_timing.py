import time

import jax
import jax.numpy as jnp

from stde_cli.jobs.benchmarks.training import timed


def test_compiling_is_timed_apart_and_once() -> None:
    @jax.jit
    def inner(x):
        return jnp.linalg.svd(x)[1].sum()

    @jax.jit
    def outer(x):
        time.sleep(0.1)  # While tracing: the trace of the caller holds that of what it calls.
        return inner(jnp.sin(x)) + inner(jnp.cos(x))

    def make() -> jax.Array:
        time.sleep(0.05)
        return outer(jnp.eye(5))

    start = time.perf_counter()
    _, first = timed(make)
    wall = time.perf_counter() - start
    _, again = timed(make)
    assert 0.1 < first.compile_seconds < wall - 0.05
    assert 0.05 <= first.seconds < wall - first.compile_seconds + 1e-3
    assert again.compile_seconds == 0
    assert again.seconds >= 0.05
