"""For all tests of this process: shape annotations are checked, programs are compiled quickly."""

import gc
import os
import signal
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import jax
import pytest
from beartype.claw import beartype_packages
from jaxtyping import install_import_hook

from tests.typecheck import CONF

# A shell's job in the background ignores SIGINT, and so would every command that is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Before any test imports the package: the hooks rewrite modules as they are loaded. Where all is
# integers there is no shape to check, and types alone are checked in a third of the time.
INTEGERS = {
    f"stde_cli.autodiff.taylor.{n}" for n in "elimination partitions planner pushes".split()
}
ROOT = Path(__file__).resolve().parents[1]
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for file in ROOT.glob("stde_cli/**/*.py")
    if file.name != "__init__.py"
}
assert MODULES > INTEGERS
install_import_hook(sorted(MODULES - INTEGERS), "tests.typecheck.check")
beartype_packages(INTEGERS, conf=CONF)

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
