"""What the tests of expressions share: one layout with a family, one without, and parameters."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from stde_cli.expressions import Derivative, Layout, Node, parse

DIM = 6
FAMILY = Layout(("t", ("x", DIM)))
NAMED = Layout(("x", "t", "y"))
_random = np.random.default_rng(0)
PARAMETERS: Mapping[str, Any] = {
    "nu": 0.3,
    "c": _random.standard_normal(DIM),
    "short": _random.standard_normal(DIM - 2),
    "p": _random.permutation(DIM) + 1,
    "q": np.array([3, 1, 3, 3, 6, 2]),
    "two": np.array([4, 2]),
    "half": np.array([1.0, 2.5]),
    "zero": np.array([1, 0]),
    "pair": np.array([0.7, -1.2]),
    "A": _random.standard_normal((DIM, DIM)),
    "B": _random.standard_normal((2, DIM)),
}
EVERYTHING = frozenset({"u", "f"})


def read(text: str, layout: Layout = FAMILY) -> Node:
    return parse(text, layout, PARAMETERS, where="pde.residual", allow=EVERYTHING)


def read_derivative(text: str) -> Derivative:
    """What must be one derivative of u."""
    node = read(text)
    assert isinstance(node, Derivative)
    return node


def point(layout: Layout = FAMILY, *, seed: int = 1):
    return jnp.asarray(np.random.default_rng(seed).uniform(0.2, 1.1, layout.dim))
