"""Checks every shape annotation of `stde_cli` at run time, in all tests of this process."""

from collections.abc import Iterator

import jax
import pytest
from jaxtyping import install_import_hook

import tests.typecheck  # noqa: F401 (the hook looks it up by name)

# Before any test imports the package: the hook rewrites modules as they are loaded.
install_import_hook("stde_cli", "tests.typecheck.check")


@pytest.fixture
def float64() -> Iterator[None]:
    """Double precision for the length of a test."""
    with jax.enable_x64(True):
        yield
