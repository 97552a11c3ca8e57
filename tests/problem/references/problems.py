"""Problems from text, and what is true of them."""

from typing import Any

import jax.numpy as jnp

from stde_cli.problem.parabolic import read
from stde_cli.problem.pdes import Symbolic
from stde_cli.problem.references.structure import Structure
from stde_cli.system.prng import make_key


def pde(dim: int, residual: str, *, x: Any = 0.0, end: float = 0.3, **given: Any) -> Symbolic:
    """An equation in t and x1, ..., wanted at (end, x), or at (0, x) where it ends with data."""
    text: dict[str, Any] = {
        "coordinates": {"t": [0, end], "x": {"gaussian": 1}},
        "value_at": {"t": end if "initial" in given else 0, "x": x},
    }
    return Symbolic(dim, residual=residual, key=make_key(0), **text | given)


def structure(dim: int, residual: str, **given: Any) -> Structure:
    return Structure(read(pde(dim, residual, **given)))


def heat_kernel_of_gaussian(dim: int, squared: float, end: float) -> float:
    """u_t = Laplacian(u) from exp(-|x|^2), where |x|^2 = squared."""
    spread = 1 + 4 * end
    return float(spread ** (-dim / 2) * jnp.exp(-squared / spread))
