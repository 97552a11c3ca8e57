"""What is trained: a guess and a network, made to satisfy the boundary condition."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from stde_cli.ansatz.networks.features import Untrained
from stde_cli.autodiff.directions import AbstractDirections
from stde_cli.autodiff.restriction import restrict
from stde_cli.problem.constraints import AbstractConstraint
from stde_cli.problem.operators import KnowsLaplacian, PartlyKnown, Triple, product_rule
from stde_cli.system.types import Point, RestrictedField, Scalar, ScalarField


class HardConstraint(eqx.Module):
    """u(x) = lift(x) + constraint(x) * (guess(x) + scale * network(x)).

    The network alone is trained. `lift` has the boundary values that u is to have; none is zero,
    and neither is no guess.
    """

    network: ScalarField
    constraint: AbstractConstraint
    scale: Scalar | float = 1.0
    guess: KnowsLaplacian | None = None
    lift: ScalarField | None = None

    def __call__(self, x: Point) -> Scalar:
        inner = self.scale * self.network(x)
        if self.guess is not None:
            inner = inner + self.guess(x)
        u = self.constraint(x) * inner
        return u if self.lift is None else self.lift(x) + u

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        def part(field: ScalarField | None) -> RestrictedField:
            return restrict(Zero() if field is None else field, x, directions)

        lift, guess, network = part(self.lift), part(self.guess), part(self.network)
        constraint = self.constraint.restrict(x, directions)
        return lambda s: lift(s) + constraint(s) * (guess(s) + self.scale * network(s))

    def split(self) -> tuple[ScalarField, KnowsLaplacian]:
        """What must be differentiated, and the part whose derivatives are known."""
        known: list[KnowsLaplacian] = []
        network, lift = self.network, self.lift
        if self.guess is not None:
            known.append(_Product((self.constraint, self.guess)))
        if isinstance(network, KnowsLaplacian):
            network, part = Zero(), network
            known.append(_Product((self.constraint, part), self.scale))
        elif isinstance(network, PartlyKnown):
            network, part = network.split()
            known.append(_Product((self.constraint, part), self.scale))
        if isinstance(lift, KnowsLaplacian):
            known.append(lift)
            lift = None
        return HardConstraint(network, self.constraint, self.scale, None, lift), _Sum(known)


def without_network(
    constraint: AbstractConstraint, guess: KnowsLaplacian, lift: ScalarField | None
) -> ScalarField:
    """lift + constraint * guess, which knows its derivatives where the lift does."""
    parts: list[KnowsLaplacian] = [_Product((constraint, guess))]
    if lift is None:
        return _Sum(parts)
    if isinstance(lift, KnowsLaplacian):
        return _Sum([*parts, lift])
    return HardConstraint(Zero(), constraint, guess=guess, lift=lift)


def shifted(guess: KnowsLaplacian, shift: Scalar) -> KnowsLaplacian:
    """guess + shift."""
    return _Sum((guess, _Constant(shift)))


class _Constant(eqx.Module):
    value: Scalar

    def __call__(self, x: Point) -> Scalar:
        return self.value + 0 * x[0]

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        return lambda s: self.value

    def value_gradient_laplacian(self, x: Point, over: range) -> Triple:
        return self(x), 0 * x[over.start : over.stop], 0 * x[0]


class Zero(eqx.Module):
    """u = 0."""

    def __call__(self, x: Point) -> Scalar:
        return 0 * x[0]

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        return lambda s: jnp.zeros((), x.dtype)

    def value_gradient_laplacian(self, x: Point, over: range) -> Triple:
        return 0 * x[0], 0 * x[over.start : over.stop], 0 * x[0]


class _Sum(eqx.Module):
    parts: Sequence[KnowsLaplacian]

    def __call__(self, x: Point) -> Scalar:
        return sum((part(x) for part in self.parts), 0 * x[0])

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        along = [restrict(part, x, directions) for part in self.parts]
        return lambda s: sum((g(s) for g in along), jnp.zeros((), x.dtype))

    def value_gradient_laplacian(self, x: Point, over: range) -> Triple:
        zero = 0 * x[0], 0 * x[over.start : over.stop], 0 * x[0]
        triples = [part.value_gradient_laplacian(x, over) for part in self.parts]
        return jax.tree.map(lambda *terms: sum(terms), zero, *triples)


class _Product(eqx.Module):
    factors: tuple[KnowsLaplacian, KnowsLaplacian]
    scale: Scalar | float = 1.0

    def __call__(self, x: Point) -> Scalar:
        return self.scale * self.factors[0](x) * self.factors[1](x)

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        first, second = (restrict(factor, x, directions) for factor in self.factors)
        return lambda s: self.scale * first(s) * second(s)

    def value_gradient_laplacian(self, x: Point, over: range) -> Triple:
        triples = [factor.value_gradient_laplacian(x, over) for factor in self.factors]
        return jax.tree.map(lambda part: self.scale * part, product_rule(*triples))


def trained(ansatz: HardConstraint) -> PyTree[bool]:
    """Which leaves of `ansatz` the optimizer may change."""
    frozen = jax.tree.map(lambda _: False, ansatz)
    network = jax.tree.map(
        lambda node: not isinstance(node, Untrained) and eqx.is_inexact_array(node),
        ansatz.network,
        is_leaf=lambda node: isinstance(node, Untrained),
    )
    return eqx.tree_at(lambda a: a.network, frozen, network)
