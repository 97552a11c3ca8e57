"""A trained field as one file that JAX alone can load."""

from pathlib import Path

import jax
import jax.numpy as jnp
from jax import export as jax_export

from stde_cli.config.build import configured_jax
from stde_cli.jobs.trained import Trained
from stde_cli.system.errors import UsageError
from stde_cli.system.types import ScalarField

PLATFORMS = ("cpu", "cuda")
"""What the program in the file is lowered for."""


def export(trained: Trained, out: Path) -> int:
    """Write u, its parameters inside, as a function of points of shape (points, dim).

    The number of points is open. The file is one of `jax.export`; it keeps its promise of
    compatibility, and needs nothing of this package. Returns the number of bytes.

    Raises:
        UsageError: the file cannot be written.
    """
    with configured_jax(trained.config):
        dim = trained.built.problem.pde.domain.dim
        content = program(trained.ansatz, dim).serialize()
    partial = out.with_name(f".{out.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(out)
    except OSError as error:
        partial.unlink(missing_ok=True)
        why = f"cannot be written ({error.strerror})"
        raise UsageError("out", out, why, "choose another file") from error
    return len(content)


def program(field: ScalarField, dim: int) -> jax_export.Exported:
    """The field at any number of points, lowered for each of `PLATFORMS`."""
    shape = (*jax_export.symbolic_shape("points"), dim)
    points = jax.ShapeDtypeStruct(shape, jnp.result_type(float))
    return jax_export.export(jax.jit(jax.vmap(field)), platforms=PLATFORMS)(points)
