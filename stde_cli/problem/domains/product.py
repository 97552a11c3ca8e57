import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from stde_cli.problem.domains.base import AbstractDomain, Circles
from stde_cli.system.types import Point, Points, PRNGKey


class Product(AbstractDomain):
    """Points whose consecutive parts lie in one domain each: a time interval and a space, say."""

    parts: tuple[AbstractDomain, ...]
    dim: int = eqx.field(static=True)

    def __init__(self, *parts: AbstractDomain):
        self.parts = parts
        self.dim = sum(part.dim for part in parts)

    @property
    def spread(self) -> Float[Array, " dim"]:
        return jnp.concatenate([jnp.broadcast_to(p.spread, (p.dim,)) for p in self.parts])

    @property
    def circles(self) -> tuple[Circles, ...]:
        starts = np.cumsum([0, *(part.dim for part in self.parts)])
        return tuple(
            each._replace(start=int(start) + each.start, stop=int(start) + each.stop)
            for start, part in zip(starts, self.parts, strict=False)
            for each in part.circles
        )

    @property
    def extent(self) -> Float[Array, "2 dim"]:
        return jnp.concatenate([part.extent for part in self.parts], axis=1)

    def sample_interior(self, points: int, *, key: PRNGKey) -> Points:
        keys = jax.random.split(key, len(self.parts))
        drawn = [p.sample_interior(points, key=k) for p, k in zip(self.parts, keys, strict=True)]
        return jnp.concatenate(drawn, axis=1)

    def sample_boundary(self, points: int, *, key: PRNGKey) -> Points:
        """Points with one part on its boundary, each part as likely as the others."""
        choice_key, key = jax.random.split(key)
        keys = jax.random.split(key, len(self.parts))
        faces = jnp.stack([self.sample_face(part, points, key=k) for part, k in enumerate(keys)])
        chosen = jax.random.randint(choice_key, (points,), 0, len(self.parts))
        return faces[chosen, jnp.arange(points)]

    def sample_face(self, part: int, points: int, *, key: PRNGKey) -> Points:
        """Points with the given part on its boundary and the others inside."""
        keys = jax.random.split(key, len(self.parts))
        drawn = [
            domain.sample_boundary(points, key=k)
            if number == part
            else domain.sample_interior(points, key=k)
            for number, (domain, k) in enumerate(zip(self.parts, keys, strict=True))
        ]
        return jnp.concatenate(drawn, axis=1)

    def contains(self, x: Point) -> Bool[Array, ""]:
        edges = np.cumsum([part.dim for part in self.parts])[:-1]
        within = [d.contains(y) for d, y in zip(self.parts, jnp.split(x, edges), strict=True)]
        return jnp.all(jnp.array(within))
