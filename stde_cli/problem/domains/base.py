from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Float

from stde_cli.system.types import Points, PRNGKey


class AbstractDomain(eqx.Module):
    """A set in R^dim with a distribution of interior and of boundary points."""

    dim: eqx.AbstractVar[int]

    @property
    @abstractmethod
    def spread(self) -> float | Float[Array, " dim"]:
        """The standard deviation of each coordinate of an interior point."""

    @abstractmethod
    def sample_interior(self, points: int, *, key: PRNGKey) -> Points:
        """Independent points inside."""

    @abstractmethod
    def sample_boundary(self, points: int, *, key: PRNGKey) -> Points:
        """Independent points on the boundary."""
