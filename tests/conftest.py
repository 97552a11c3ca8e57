"""For all tests of this process: shape annotations are checked, programs are compiled quickly."""

import gc
import os
import signal
from collections.abc import Iterator
from importlib.metadata import version

import jax
import pytest
from jaxtyping import install_import_hook

import tests.typecheck  # noqa: F401 (the hook looks it up by name)

# A shell's job in the background ignores SIGINT, and so would every command that is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Before any test imports the package: the hook rewrites modules as they are loaded.
install_import_hook("stde_cli", "tests.typecheck.check")

# Tests compile much and compute little. Read when the first array is made; unknown flags abort.
FAST_COMPILING = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
if version("jaxlib") < "0.11":
    FAST_COMPILING += " --xla_cpu_use_fusion_emitters=false"
    FAST_COMPILING += " --xla_cpu_parallel_codegen_split_count=1"
os.environ["XLA_FLAGS"] = FAST_COMPILING

# Tracing makes many objects that live on: looking through them again and again is a tenth of it.
gc.freeze()
gc.set_threshold(50_000, 20, 100)


@pytest.fixture
def float64() -> Iterator[None]:
    """Double precision for the length of a test."""
    with jax.enable_x64(True):
        yield
