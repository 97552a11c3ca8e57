"""Solutions known as numbers: on a grid, and interpolated there, or at points alone."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from stde_cli.system.types import Point, Points, Scalar, Values


class Axis(eqx.Module):
    """The grid in one coordinate, and between its points polynomials through neighbouring ones.

    Args:
        nodes: rising.
        points: of a polynomial.
        period: after which the nodes come again; None where they do not.
        panels: every polynomial is that through nodes k (points - 1) to (k + 1) (points - 1), for
            the whole k with the coordinate between them; else through the nearest on both sides.
    """

    nodes: Float[Array, " nodes"]
    points: int = eqx.field(static=True)
    period: float | None = eqx.field(static=True, default=None)
    panels: bool = eqx.field(static=True, default=False)

    def stencil(self, at: Scalar) -> tuple[Int[Array, " points"], Float[Array, " points"]]:
        """Which nodes count for the value there, and by how much."""
        nodes, count = self.nodes, self.nodes.size
        if self.period is not None:
            at = nodes[0] + jnp.mod(at - nodes[0], self.period)
        before = jnp.searchsorted(nodes, at, side="right") - 1
        if self.panels:
            size = self.points - 1
            first = size * jnp.clip(before // size, 0, (count - 1) // size - 1)
        else:
            first = before - (self.points - 1) // 2
            if self.period is None:
                first = jnp.clip(first, 0, count - self.points)
        turn, indices = jnp.divmod(first + jnp.arange(self.points), count)
        places = nodes[indices] + (0 if self.period is None else turn * self.period)
        # Lagrange's: of each node the product over all others.
        own = jnp.eye(self.points, dtype=bool)
        ratios = (at - places) / jnp.where(own, 1.0, places[:, None] - places)
        return indices, jnp.prod(jnp.where(own, 1.0, ratios), axis=1)


class Tabulated(eqx.Module):
    """A function of the point, by its values on a grid of all coordinates.

    Attributes:
        axes: of the coordinates in the order of a point's entries.
        source: where the values are from, in words: "a spectral solution".
        error: of the values, relative, root mean square; None where it is not known.
    """

    axes: tuple[Axis, ...]
    values: Float[Array, "..."]
    source: str = eqx.field(static=True)
    error: float | None = eqx.field(static=True, default=None)

    def __call__(self, x: Point) -> Scalar:
        stencils = [axis.stencil(x[k]) for k, axis in enumerate(self.axes)]
        found = self.values[jnp.ix_(*(indices for indices, _ in stencils))]
        for _, weights in stencils:
            found = jnp.tensordot(weights, found, 1)
        return found


class Samples(eqx.Module):
    """Values at points, and nothing between them: errors are measured at just these."""

    points: Points
    values: Values
    source: str = eqx.field(static=True)
