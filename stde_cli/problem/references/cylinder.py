"""Nodes about a point, in the coordinates in which a radial function is one of one or two."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stde_cli.problem.references.quadrature import Rule, chi_square, constant, normal
from stde_cli.system.types import Point, Scalar

_SMALLEST_ROOT = 1e-12
"""Of a weight. Values at a node with a smaller one are rounding errors, and count for nothing."""
SMALLEST_ROOT_OF_SOURCE = 1e-5
"""Beyond, X is with a probability of 1e-10, and a sum of polynomials may be far from u: squared, it
would outgrow all else."""


class Cylinder(eqx.Module):
    """Gauss rules for functions of |X|, X normal about a centre with the same variance everywhere.

    About the origin |X| is all there is. Elsewhere there is an axis, through the origin and the
    centre, and the distance from it.

    Args:
        centre: of shape (dim,).
        n: nodes, and polynomials, along each of the coordinates.
    """

    axis: Rule
    across: Rule
    unit: Point
    """Along the axis."""
    beside: Point
    """A unit vector across it."""
    others: int = eqx.field(static=True)
    """Dimensions across the axis."""

    def __init__(self, centre: Float[np.ndarray, " dim"], n: int):
        centred = not centre.any()
        self.axis = constant() if centred else normal(n)
        self.others = centre.size if centred else centre.size - 1
        self.across = chi_square(n, self.others) if self.others else constant()
        unit = np.zeros(centre.size) if centred else centre / np.linalg.norm(centre)
        k = int(np.argmin(np.abs(unit)))
        beside = np.eye(1, centre.size, k)[0] - unit[k] * unit
        self.unit = jnp.asarray(unit)
        self.beside = jnp.asarray(beside / max(float(np.linalg.norm(beside)), 1e-300))

    @property
    def roots(self) -> Float[Array, "axis across"]:
        return self.axis.roots[:, None] * self.across.roots[None, :]

    @property
    def rates(self) -> Float[Array, "axis across"]:
        return self.axis.rates[:, None] + self.across.rates[None, :]

    def values(self, modes: Float[Array, "axis across"]) -> Float[Array, "axis across"]:
        """At the nodes, of a sum of polynomials."""
        roots = jnp.maximum(self.roots, _SMALLEST_ROOT)
        return self.axis.basis @ modes @ self.across.basis.T / roots

    def modes(
        self, values: Float[Array, "axis across"], smallest: float = _SMALLEST_ROOT
    ) -> Float[Array, "axis across"]:
        """The polynomials that have these values, the constant first: their mean.

        Nodes count from the root of a weight on.
        """
        counted = jnp.where(self.roots > smallest, self.roots * values, 0.0)
        return self.axis.basis.T @ counted @ self.across.basis

    def places(
        self, centre: Scalar, variance: Scalar
    ) -> tuple[Float[Array, "axis across"], Float[Array, "axis across"]]:
        """The nodes for a centre and a variance: where along the axis, and how far from it."""
        along = centre + jnp.sqrt(variance) * self.axis.nodes
        half = self.others / 2
        gamma = jnp.maximum(half + math.sqrt(half) * self.across.nodes, 0.0)
        distance = jnp.sqrt(2 * variance * gamma)
        shape = self.roots.shape
        return jnp.broadcast_to(along[:, None], shape), jnp.broadcast_to(distance, shape)

    def gradient(
        self, modes: Float[Array, "axis across"], variance: Scalar
    ) -> tuple[Float[Array, "axis across"], Float[Array, "axis across"]]:
        """Derivatives at the nodes: along the axis and away from it."""
        along = self.values(self.axis.slope @ modes) / jnp.sqrt(variance)
        _, distance = self.places(jnp.zeros(()), variance)
        # d/dr = r / variance d/dx of x = r^2 / (2 variance), itself scaled to variance 1.
        outward = self.values(modes @ self.across.slope.T) * distance
        return along, outward / (variance * math.sqrt(max(self.others, 1) / 2))

    def point(self, along: Scalar, distance: Scalar) -> Point:
        return along * self.unit + distance * self.beside
