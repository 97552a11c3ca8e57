import equinox as eqx
from jaxtyping import Array, Bool, Float

from stde_cli.problem.domains.base import AbstractDomain, Circles
from stde_cli.problem.domains.box import Box
from stde_cli.system.types import Point, Points, PRNGKey


class Torus(AbstractDomain):
    """A product of circles: the points of a box, the ends of whose intervals are the same points.

    Functions on it are periodic, and it has no boundary.

    Args:
        low, high: the interval that is closed to a circle.
        copies: how many.

    Raises:
        ValueError: the range is empty.
    """

    box: Box
    dim: int = eqx.field(static=True)

    def __init__(self, low: float, high: float, *, copies: int = 1):
        self.box = Box((low, high), copies=copies)
        self.dim = copies

    @property
    def circles(self) -> tuple[Circles, ...]:
        (low,), (high,) = self.box.lower, self.box.upper
        return (Circles(0, self.dim, low, high - low),)

    @property
    def spread(self) -> Float[Array, " dim"]:
        return self.box.spread

    @property
    def extent(self) -> Float[Array, "2 dim"]:
        return self.box.extent

    def sample_interior(self, points: int, *, key: PRNGKey) -> Points:
        return self.box.sample_interior(points, key=key)

    def sample_boundary(self, points: int, *, key: PRNGKey) -> Points:
        raise ValueError("a periodic coordinate has no boundary")

    def contains(self, x: Point) -> Bool[Array, ""]:
        return self.box.contains(x)
