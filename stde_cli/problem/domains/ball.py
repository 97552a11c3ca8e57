import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from stde_cli.problem.domains.base import ROUNDING, AbstractDomain
from stde_cli.system.types import Point, Points, PRNGKey


class Ball(AbstractDomain):
    """{|x| <= radius}. Interior points have a uniform direction and a uniform radius.

    A uniform radius is the paper's choice ([STDE] appendix I.1): uniform points of a ball in many
    dimensions would all lie on its surface.
    """

    dim: int = eqx.field(static=True)
    radius: float = eqx.field(static=True, default=1.0)

    @property
    def spread(self) -> float:
        # E |x|^2 is radius^2/3, and every coordinate has its share of it.
        return self.radius / math.sqrt(3 * self.dim)

    @property
    def extent(self) -> Float[Array, "2 dim"]:
        return jnp.stack([jnp.full(self.dim, -self.radius), jnp.full(self.dim, self.radius)])

    def sample_interior(self, points: int, *, key: PRNGKey) -> Points:
        direction_key, radius_key = jax.random.split(key)
        radii = self.radius * jax.random.uniform(radius_key, (points, 1))
        return _on_sphere(direction_key, points, self.dim, radii)

    def sample_boundary(self, points: int, *, key: PRNGKey) -> Points:
        return _on_sphere(key, points, self.dim, jnp.full((points, 1), self.radius))

    def contains(self, x: Point) -> Bool[Array, ""]:
        return jnp.linalg.norm(x) <= (1 + ROUNDING) * self.radius


def _on_sphere(key: PRNGKey, points: int, dim: int, radii: jax.Array) -> Points:
    normals = jax.random.normal(key, (points, dim))
    # One factor a point, then one product a coordinate: no pass over the points for a division.
    return normals * (radii / jnp.linalg.norm(normals, axis=-1, keepdims=True))
