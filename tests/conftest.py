"""Checks every shape annotation of `stde_cli` at run time, in all tests of this process."""

from collections.abc import Iterator

from jaxtyping import install_import_hook

# Before anything imports the package: the hook rewrites modules as they are loaded.
install_import_hook("stde_cli", "beartype.beartype")

import jax
import pytest


@pytest.fixture
def float64() -> Iterator[None]:
    """Double precision for the length of a test."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)
