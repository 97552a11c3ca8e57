import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from stde_cli.problem.domains.base import AbstractDomain
from stde_cli.system.types import Point, Points, PRNGKey


class Gaussian(AbstractDomain):
    """The whole space, with independent normal points of mean 0 and standard deviation `std`."""

    dim: int = eqx.field(static=True)
    std: float = eqx.field(static=True, default=1.0)

    @property
    def spread(self) -> float:
        return self.std

    @property
    def extent(self) -> Float[Array, "2 dim"]:
        """Three standard deviations on both sides."""
        return jnp.stack([jnp.full(self.dim, -3 * self.std), jnp.full(self.dim, 3 * self.std)])

    def sample_interior(self, points: int, *, key: PRNGKey) -> Points:
        return self.std * jax.random.normal(key, (points, self.dim))

    def sample_boundary(self, points: int, *, key: PRNGKey) -> Points:
        raise ValueError("the whole space has no boundary")

    def contains(self, x: Point) -> Bool[Array, ""]:
        return jnp.array(True)
