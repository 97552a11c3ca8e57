"""Boundary conditions that hold by construction: u = lift(x) + constraint(x) * network(x)."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp

from stde_cli.autodiff.directions import AbstractDirections
from stde_cli.autodiff.restriction import restrict
from stde_cli.problem.operators import KnowsLaplacian, Triple
from stde_cli.system.types import Point, RestrictedField, Scalar


class AbstractConstraint(eqx.Module):
    """A smooth function that vanishes on the boundary and nowhere inside."""

    @abstractmethod
    def __call__(self, x: Point) -> Scalar: ...

    @abstractmethod
    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField: ...

    @abstractmethod
    def value_gradient_laplacian(self, x: Point, over: range) -> Triple:
        """Value, gradient and Laplacian in the coordinates `over`, exactly."""


class VanishOnSphere(AbstractConstraint):
    """radius^2 - |x|^2 ([STDE] section 5.1, there with radius 1)."""

    radius: float = eqx.field(static=True)

    def __call__(self, x: Point) -> Scalar:
        return self.radius**2 - jnp.sum(x**2)

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        origin, slope = self(x), directions.dot(x)
        return lambda s: origin - 2 * slope @ s - directions.squared_length(s)

    def value_gradient_laplacian(self, x: Point, over: range) -> Triple:
        gradient = -2 * x[over.start : over.stop]
        return self(x), gradient, jnp.full((), -2.0 * len(over), x.dtype)


class VanishWhere(AbstractConstraint):
    """A field of the user's own that is zero on the boundary."""

    field: KnowsLaplacian

    def __call__(self, x: Point) -> Scalar:
        return self.field(x)

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        return restrict(self.field, x, directions)

    def value_gradient_laplacian(self, x: Point, over: range) -> Triple:
        return self.field.value_gradient_laplacian(x, over)


class Unconstrained(AbstractConstraint):
    """1 everywhere: the network alone, for domains without a hard boundary."""

    def __call__(self, x: Point) -> Scalar:
        return jnp.ones((), x.dtype)

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        return lambda s: jnp.ones((), x.dtype)

    def value_gradient_laplacian(self, x: Point, over: range) -> Triple:
        return jnp.ones((), x.dtype), jnp.zeros(len(over), x.dtype), jnp.zeros((), x.dtype)
