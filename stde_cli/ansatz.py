"""What is trained: a network made to satisfy the boundary condition."""

import equinox as eqx

from stde_cli._types import Point, RestrictedField, Scalar, ScalarField
from stde_cli.constraints import AbstractConstraint
from stde_cli.directions import AbstractDirections
from stde_cli.restriction import restrict


class HardConstraint(eqx.Module):
    """u(x) = constraint(x) * network(x)."""

    network: ScalarField
    constraint: AbstractConstraint

    def __call__(self, x: Point) -> Scalar:
        return self.constraint(x) * self.network(x)

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        network = restrict(self.network, x, directions)
        constraint = self.constraint.restrict(x, directions)
        return lambda s: constraint(s) * network(s)
