from abc import abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import equinox as eqx
from jaxtyping import Array, Bool, Float

from stde_cli.system.types import Point, Points, PRNGKey

ROUNDING = 1e-4
"""How far outside, against the size of a domain, a point still counts as one of its boundary."""


class Circles(NamedTuple):
    """Periodic coordinates: those at the positions from `start` to before `stop` of a point.

    Attributes:
        low: where a period of them begins.
        length: of a period.
    """

    start: int
    stop: int
    low: float
    length: float


class AbstractDomain(eqx.Module):
    """A set in R^dim with a distribution of interior and of boundary points."""

    dim: eqx.AbstractVar[int]

    @property
    @abstractmethod
    def spread(self) -> float | Float[Array, " dim"]:
        """The standard deviation of each coordinate of an interior point."""

    def spread_at(self, x: Point) -> float | Float[Array, " dim"]:
        """Likewise, of the points that are as x in what decides it, such as the time."""
        return self.spread

    @property
    def inputs(self) -> tuple[Float[Array, " dim"], Float[Array, " dim"]] | None:
        """(centre, factors): a network is to see factors * (x - centre); None: x itself."""
        return None

    @property
    def circles(self) -> tuple[Circles, ...]:
        """The periodic coordinates, in the order of their positions."""
        return ()

    @property
    @abstractmethod
    def extent(self) -> Float[Array, "2 dim"]:
        """The least and the largest value of each coordinate, or where nearly all points lie."""

    @abstractmethod
    def sample_interior(self, points: int, *, key: PRNGKey) -> Points:
        """Independent points inside."""

    @abstractmethod
    def sample_boundary(self, points: int, *, key: PRNGKey) -> Points:
        """Independent points on the boundary."""

    def sample_where(self, fixed: Mapping[int, float], points: int, *, key: PRNGKey) -> Points:
        """Independent points inside, but that the entries at some positions are given."""
        x = self.sample_interior(points, key=key)
        for position, value in fixed.items():
            x = x.at[:, position].set(value)
        return x

    @abstractmethod
    def contains(self, x: Point) -> Bool[Array, ""]:
        """Whether x lies inside or on the boundary, but for rounding."""
