"""Fields that know their own derivatives: what is known need not be sampled."""

from typing import Protocol, TypeAlias, runtime_checkable

from jaxtyping import Array, Float

from stde_cli.system.types import Point, Scalar, ScalarField

Triple: TypeAlias = tuple[Scalar, Float[Array, " span"], Scalar]
"""A value, the gradient and the Laplacian in some coordinates."""


@runtime_checkable
class KnowsLaplacian(Protocol):
    """A field whose second derivatives cost no more than its value."""

    def __call__(self, x: Point, /) -> Scalar: ...

    def value_gradient_laplacian(self, x: Point, over: range) -> Triple:
        """The field, its gradient and its Laplacian in the coordinates `over`, exactly."""
        ...


@runtime_checkable
class PartlyKnown(Protocol):
    """A field that is a sum of one to be sampled and one that knows its derivatives."""

    def __call__(self, x: Point, /) -> Scalar: ...

    def split(self) -> tuple[ScalarField, KnowsLaplacian]: ...


def product_rule(first: Triple, second: Triple) -> Triple:
    """The triple of a product of two functions."""
    u, du, ddu = first
    v, dv, ddv = second
    return u * v, u * dv + v * du, u * ddv + 2 * du @ dv + v * ddu
