"""What is trained: a network made to satisfy the boundary condition, in the problem's units."""

import equinox as eqx
import jax
from jaxtyping import PyTree

from stde_cli._types import Point, RestrictedField, Scalar, ScalarField
from stde_cli.constraints import AbstractConstraint
from stde_cli.directions import AbstractDirections
from stde_cli.restriction import restrict


class HardConstraint(eqx.Module):
    """u(x) = lift(x) + scale * constraint(x) * (offset + network(x)).

    The network alone is trained. `lift` has the boundary values that u is to have; none is zero.
    """

    network: ScalarField
    constraint: AbstractConstraint
    scale: Scalar | float = 1.0
    offset: Scalar | float = 0.0
    lift: ScalarField | None = None

    def __call__(self, x: Point) -> Scalar:
        inner = self.scale * self.constraint(x) * (self.offset + self.network(x))
        return inner if self.lift is None else self.lift(x) + inner

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        network = restrict(self.network, x, directions)
        constraint = self.constraint.restrict(x, directions)
        lift = (lambda s: 0.0) if self.lift is None else restrict(self.lift, x, directions)
        return lambda s: lift(s) + self.scale * constraint(s) * (self.offset + network(s))


def trained(ansatz: HardConstraint) -> PyTree[bool]:
    """Which leaves of `ansatz` the optimizer may change."""
    frozen = jax.tree.map(lambda _: False, ansatz)
    network = jax.tree.map(eqx.is_inexact_array, ansatz.network)
    return eqx.tree_at(lambda a: a.network, frozen, network)
