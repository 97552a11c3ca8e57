"""What is trained: a network made to satisfy the boundary condition, in the problem's units."""

import equinox as eqx
import jax
from jaxtyping import PyTree

from stde_cli._types import Point, RestrictedField, Scalar, ScalarField
from stde_cli.constraints import AbstractConstraint
from stde_cli.directions import AbstractDirections
from stde_cli.restriction import restrict


class HardConstraint(eqx.Module):
    """u(x) = scale * constraint(x) * (offset + network(x)). The network alone is trained."""

    network: ScalarField
    constraint: AbstractConstraint
    scale: Scalar | float = 1.0
    offset: float = eqx.field(static=True, default=0.0)

    def __call__(self, x: Point) -> Scalar:
        return self.scale * self.constraint(x) * (self.offset + self.network(x))

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        network = restrict(self.network, x, directions)
        constraint = self.constraint.restrict(x, directions)
        return lambda s: self.scale * constraint(s) * (self.offset + network(s))


def trained(ansatz: HardConstraint) -> PyTree[bool]:
    """Which leaves of `ansatz` the optimizer may change."""
    frozen = jax.tree.map(lambda _: False, ansatz)
    network = jax.tree.map(eqx.is_inexact_array, ansatz.network)
    return eqx.tree_at(lambda a: a.network, frozen, network)
