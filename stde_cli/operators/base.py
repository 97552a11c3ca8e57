from abc import abstractmethod

import equinox as eqx

from stde_cli._types import Point, Scalar, ScalarField


class AbstractOperator(eqx.Module):
    """A linear differential operator. It says what is computed, never how."""

    @abstractmethod
    def exact(self, field: ScalarField, x: Point) -> Scalar:
        """The operator applied to `field` at x, by nested derivatives: slow, and the oracle."""
