"""Shapes and records that every room shares.

The axes are named once: `dim` coordinates of a point, `points` of a batch, `directions` drawn for
an estimate, `width` of a layer.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from jaxtyping import Array, Float, Key, PyTree

PRNGKey: TypeAlias = Key[Array, ""]
Scalar: TypeAlias = Float[Array, ""]
Point: TypeAlias = Float[Array, " dim"]
Points: TypeAlias = Float[Array, "points dim"]
Values: TypeAlias = Float[Array, " points"]

ScalarField: TypeAlias = Callable[[Point], Scalar]
"""A function u: R^d -> R. Equinox modules with a `restrict` method are the fast kind."""

RestrictedField: TypeAlias = Callable[[Float[Array, " directions"]], Scalar]
"""g(s) = u(x + V s), a scalar field restricted to the span of `directions` at a point."""

Derivatives: TypeAlias = Mapping[str, Float[Array, "..."]]
"""The value of each operator that a PDE names, at one point: a number, or a whole gradient."""

Text: TypeAlias = str | int | float
"""An expression; YAML makes a number of "0"."""

Parameters: TypeAlias = PyTree[Array]
