"""n-TangentProp: all derivatives up to some order along a direction, in one pass of an MLP."""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from math import comb, pi, prod, sqrt
from operator import add
from typing import Any, Protocol, TypeAlias, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from stde_cli.autodiff.directions import (
    AbstractDirections,
    AbstractSampler,
    CoordinateDirections,
)
from stde_cli.autodiff.restriction import Restrictable, restrict
from stde_cli.autodiff.taylor import push_together
from stde_cli.autodiff.taylor.elementwise import derivatives
from stde_cli.autodiff.taylor.partitions import multiplicity, partitions
from stde_cli.estimators.base import AbstractEstimator, Operators, draw_each
from stde_cli.estimators.reading import as_one_set, with_known_part_exact
from stde_cli.problem.operators import AbstractOperator, KnowsLaplacian, PartialSum, partial_sum
from stde_cli.system.ranges import Count
from stde_cli.system.types import Derivatives, Point, PRNGKey, Scalar, ScalarField

Orders: TypeAlias = list[jax.Array]
"""f, f', f'' ... along each direction: the first without their axis, the others with it."""


@runtime_checkable
class _Layered(Protocol):
    """A multilayer perceptron: affine maps with an activation between them."""

    first: eqx.nn.Linear
    hidden: tuple[eqx.nn.Linear, ...]
    last: eqx.nn.Linear
    activation: str


@runtime_checkable
class _Constrained(Protocol):
    """lift + constraint * (guess + scale * network)."""

    network: ScalarField
    constraint: Restrictable
    scale: Scalar | float
    guess: Restrictable | None
    lift: ScalarField | None


class TangentProp(AbstractEstimator):
    """Derivatives of order n in one direction, by Faa di Bruno's formula through an MLP's layers.

    Chickering, "A quasilinear algorithm for computing higher-order derivatives of deep feed-forward
    neural networks" (2024, arXiv 2412.09752). A pre-activation z with the derivatives z^(j) along
    the direction gives those of f(z) as sums over the integer partitions 1 p_1 + 2 p_2 + ... = m:

        (f o z)^(m) = sum_p m!/prod_j (p_j! j!^p_j) f^(p_1 + p_2 + ...)(z) prod_j (z^(j))^p_j,

    for all m up to n at once; affine maps take each by itself. Through the hard constraint it goes
    by Leibniz' rule, (c g)^(m) = sum_j binom(m, j) c^(j) g^(m-j); constraint, guess and lift, which
    are no networks, have their derivatives from the Taylor engine.

    Serves every operator whose jets are powers of one direction, with the draws of `STDE`. Sums
    of pure partial derivatives share one pass.

    Raises:
        ValueError: when it is asked for mixed derivatives, or of a network that is no MLP.
    """

    sampler: AbstractSampler
    batch: Count

    def draw(self, operators: Operators, dim: int, *, key: PRNGKey) -> dict[str, PyTree]:
        drawn = draw_each(operators, self.sampler, self.batch, dim, key=key)
        x = jax.ShapeDtypeStruct((dim,), jnp.result_type(float))
        for name, operator in operators.items():
            jets = eqx.filter_eval_shape(operator.jets, x, drawn[name])
            if any(len(each.powers) > 1 for each in jets):
                raise ValueError(
                    f"no estimate of {name}: {type(operator).__name__} has mixed derivatives here, "
                    "and these are powers of one direction; take estimator=stde"
                )
        return drawn

    def __call__(
        self, field: ScalarField, operators: Operators, x: Point, drawn: dict[str, PyTree]
    ) -> tuple[Scalar, Derivatives]:
        partials = {name: partial_sum(operator) for name, operator in operators.items()}
        planned = {name: factors for name, factors in partials.items() if factors is not None}
        found = _pure_partials(field, x, planned) if planned else {}
        for name, operator in operators.items():
            if name not in planned:
                found[name] = _read(field, operator, x, drawn[name])
        return field(x), found


def _pure_partials(
    field: ScalarField, x: Point, sums: Mapping[str, PartialSum]
) -> dict[str, Scalar]:
    """Sums of d^n u/dx_i^n, from one pass along all coordinates that occur."""
    terms = [coordinates for factors in sums.values() for coordinates in factors]
    moved, order = sorted({c[0] for c in terms}), max(map(len, terms))
    ones = jnp.ones(len(moved), x.dtype)
    along = CoordinateDirections(jnp.array(moved), ones, ones, distinct=True)
    orders = along_directions(field, x, along, order)
    return {
        name: sum(
            (factor * orders[len(c)][moved.index(c[0])] for c, factor in factors.items()),
            start=0 * x[0],
        )
        for name, factors in sums.items()
    }


def _read(field: ScalarField, operator: AbstractOperator, x: Point, drawn: PyTree) -> Scalar:
    def estimate(field: ScalarField) -> tuple[Scalar, Scalar]:
        total = 0 * x[0]
        for jets in operator.jets(x, drawn):
            (power,) = jets.powers
            derivative = along_directions(field, x, as_one_set(jets.directions), power)[power]
            total = total + jets.factor * (jets.weights @ derivative**jets.degree)
        return field(x), total

    return with_known_part_exact(field, operator, x, estimate)[1]


def along_directions(
    field: ScalarField, x: Point, directions: AbstractDirections, order: int
) -> Orders:
    """u(x) and d^m/dt^m u(x + t v) for m = 1 ... order, along each direction v.

    Raises:
        ValueError: the field is neither an MLP nor one in a hard constraint.
    """
    if isinstance(field, _Layered):
        return _through_layers(field, x, directions, order)
    if isinstance(field, _Constrained):
        constraint = _by_engine(field.constraint, x, directions, order)
        inner = [field.scale * g for g in along_directions(field.network, x, directions, order)]
        if field.guess is not None:
            inner = _sum(inner, _by_engine(field.guess, x, directions, order))
        product = _product(constraint, inner)
        lift = field.lift
        return product if lift is None else _sum(product, _by_engine(lift, x, directions, order))
    if isinstance(field, KnowsLaplacian):
        # A start looks at what there is beside the network.
        return _by_engine(field, x, directions, order)
    raise ValueError(f"it takes network=mlp, and goes through no {type(field).__name__}")


def _through_layers(
    network: _Layered, x: Point, directions: AbstractDirections, order: int
) -> Orders:
    slopes = directions.contract(network.first.weight)
    z = [network.first(x), slopes]
    for layer in (*network.hidden, network.last):
        value, *rest = _activated(network.activation, z, order)
        z = [layer(value), *(jnp.stack(rest) @ layer.weight.T)]
    return [z[0], *(derivative[:, 0] for derivative in z[1:])]


def _by_engine(field: Any, x: Point, directions: AbstractDirections, order: int) -> Orders:
    g, count = restrict(field, x, directions), directions.weights.size
    indices = [(m,) for m in range(1, order + 1)]
    value, found = push_together(g, {(1,): jnp.eye(count, dtype=x.dtype)}, indices)
    return [value, *(found[index] for index in indices)]


def _sum(first: Orders, second: Orders) -> Orders:
    return [a + b for a, b in zip(first, second, strict=True)]


def _product(first: Orders, second: Orders) -> Orders:
    """Leibniz' rule."""
    return [
        reduce(add, [comb(m, j) * first[j] * second[m - j] for j in range(m + 1)])
        for m in range(len(first))
    ]


def _composed(slopes: Sequence[jax.Array], z: Orders) -> Orders:
    """Faa di Bruno's formula: f(z) and its derivatives, from the slopes of f at z.

    Of z those derivatives that are left out are zero.
    """
    composed = [slopes[0]]
    for m in range(1, len(slopes)):
        parts = [(j,) for j in range(1, min(m, len(z) - 1) + 1)]
        terms = [
            multiplicity(parts, counts)
            * slopes[sum(counts)]
            * prod(z[j] ** p for (j,), p in zip(parts, counts, strict=True) if p)
            for counts in partitions((m,), parts)
        ]
        composed.append(reduce(add, terms))
    return composed


def _activated(name: str, z: Orders, order: int) -> Orders:
    return _composed(_SLOPES[name](z[0], order), z)


def _times_argument(slopes: Sequence[jax.Array], z: Float[Array, "..."]) -> list[jax.Array]:
    """The slopes of z f(z), from those of f."""
    return [z * f + (m * slopes[m - 1] if m else 0) for m, f in enumerate(slopes)]


def _softplus(z: jax.Array, order: int) -> list[jax.Array]:
    return [jax.nn.softplus(z), *derivatives("logistic", {}, z, max(order - 1, 0))][: order + 1]


def _gelu(z: jax.Array, order: int) -> list[jax.Array]:
    """z/2 (1 + tanh(h(z))), h(z) = sqrt(2/pi) (z + 0.044715 z^3), as `jax.nn.gelu` has it."""
    scale, cubic = sqrt(2 / pi), 0.044715
    inner = [z + cubic * z**3, 1 + 3 * cubic * z**2, 6 * cubic * z, jnp.full_like(z, 6 * cubic)]
    h = [scale * part for part in inner]
    tanh = _composed(derivatives("tanh", {}, h[0], order), h)
    return _times_argument([(1 + tanh[0]) / 2, *(slope / 2 for slope in tanh[1:])], z)


_SLOPES: dict[str, Callable[[jax.Array, int], list[jax.Array]]] = {
    "tanh": lambda z, order: derivatives("tanh", {}, z, order),
    "sin": lambda z, order: derivatives("sin", {}, z, order),
    "silu": lambda z, order: _times_argument(derivatives("logistic", {}, z, order), z),
    "softplus": _softplus,
    "gelu": _gelu,
}
"""f, f' ... f^(order) of each activation."""
