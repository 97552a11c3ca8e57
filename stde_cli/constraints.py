"""Boundary conditions that hold by construction: u = lift(x) + constraint(x) * network(x)."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp

from stde_cli._types import Point, RestrictedField, Scalar, ScalarField
from stde_cli.directions import AbstractDirections
from stde_cli.restriction import restrict


class AbstractConstraint(eqx.Module):
    """A smooth function that vanishes on the boundary and nowhere inside."""

    @abstractmethod
    def __call__(self, x: Point) -> Scalar: ...

    @abstractmethod
    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField: ...


class VanishOnSphere(AbstractConstraint):
    """radius^2 - |x|^2 ([STDE] section 5.1, there with radius 1)."""

    radius: float = eqx.field(static=True)

    def __call__(self, x: Point) -> Scalar:
        return self.radius**2 - jnp.sum(x**2)

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        origin, slope = self(x), directions.dot(x)
        return lambda s: origin - 2 * slope @ s - directions.squared_length(s)


class VanishWhere(AbstractConstraint):
    """A field of the user's own that is zero on the boundary."""

    field: ScalarField

    def __call__(self, x: Point) -> Scalar:
        return self.field(x)

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        return restrict(self.field, x, directions)


class Unconstrained(AbstractConstraint):
    """1 everywhere: the network alone, for domains without a hard boundary."""

    def __call__(self, x: Point) -> Scalar:
        return jnp.ones((), x.dtype)

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        return lambda s: jnp.ones((), x.dtype)
