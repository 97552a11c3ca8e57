"""An equation in u, from text: which operators it wants, and its value given theirs."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import chain, count, product
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from stde_cli.autodiff.taylor.planner import HIGHEST_ORDER
from stde_cli.expressions import (
    Derivative,
    Drift,
    Field,
    GradForm,
    GradNorm2,
    Laplacian,
    Layout,
    Node,
    Partial,
    Polyharmonic,
    SumOfPartials,
    Trace,
    coefficient_at,
    degree_in,
    derivatives,
    evaluate,
    evaluate_vector,
)
from stde_cli.expressions.algebra import partial
from stde_cli.expressions.evaluation import as_arrays
from stde_cli.expressions.linear import is_constant, linear_terms
from stde_cli.expressions.nodes import Number, Unknown, contains
from stde_cli.problem import operators as op
from stde_cli.problem.operators import AbstractOperator
from stde_cli.system.errors import UsageError
from stde_cli.system.types import Derivatives, Point, Scalar, ScalarField

_LINEAR = "linear_part"
"""The name of the sum of all partial derivatives that occur once, with constant factors."""


class Equation(eqx.Module):
    """E(x, u, derivatives of u), read from a node.

    Where every coordinate has a name of its own, all operators are sums of partial derivatives, and
    exact. Over a family of coordinates they are sampled. The partial derivatives that only occur
    with constant factors are one operator, the linear part: an estimator can push their sum.

    Raises:
        UsageError: an operator is beyond what can be sampled.
    """

    operators: dict[str, AbstractOperator]
    parameters: dict[str, Array]
    rest: Node = eqx.field(static=True)
    layout: Layout = eqx.field(static=True)
    keys: tuple[tuple[Derivative, str], ...] = eqx.field(static=True)
    """Under which key of `operators` each derivative of `rest` is found."""
    squares: tuple[tuple[GradNorm2 | GradForm, tuple[str, ...]], ...] = eqx.field(static=True)
    """Squares of a gradient that is made of partials, and the keys of those."""
    nonlinear_in: tuple[str, ...] = eqx.field(static=True)

    def __init__(self, node: Node, layout: Layout, parameters: Mapping[str, Any], *, where: str):
        self.layout = layout
        self.parameters = as_arrays(parameters, node)
        made = _Operators(layout, self.parameters, where)
        counts = Counter(part for part in node.walk() if isinstance(part, Derivative))
        once = [d for d, times in counts.items() if times == 1 and made.is_exact(d)]
        merged, rest = linear_terms(node, once)
        self.operators = {}
        keys: dict[Derivative, str] = {}
        squares: dict[GradNorm2 | GradForm, tuple[str, ...]] = {}

        def key_of(derivative: Derivative) -> str:
            if derivative not in keys:
                keys[derivative] = _fresh(derivative.name, self.operators)
                self.operators[keys[derivative]] = made.operator(derivative)
            return keys[derivative]

        if len(merged) > 1:
            factors = tuple(self._constant(factor) for factor, _ in merged)
            terms = tuple(made.operator(d) for _, d in merged)
            self.operators[_LINEAR] = op.Combination(factors, terms)
            self.rest = rest
        else:
            self.rest = node
        for derivative in derivatives(self.rest):
            if isinstance(derivative, GradNorm2 | GradForm) and layout.family is None:
                slopes = [partial((k,), layout, derivative.column) for k in layout.space]
                squares[derivative] = tuple(map(key_of, slopes))
            else:
                key_of(derivative)
        self.keys, self.squares = tuple(keys.items()), tuple(squares.items())
        sampled = {d for d in counts if made.is_sampled(d)}
        fault = degree_in(node, sampled)
        inside = derivatives(fault) if fault is not None else ()
        self.nonlinear_in = tuple(keys[d] for d in inside if d in sampled)

    def __call__(self, x: Point, u: Scalar, derivatives: Derivatives) -> Scalar:
        known = {derivative: derivatives[key] for derivative, key in self.keys}
        for derivative, slopes in self.squares:
            gradient = jnp.stack([derivatives[key] for key in slopes])
            known[derivative] = self._square(derivative, gradient)
        value = evaluate(self.rest, self.layout, self.parameters, x, u=u, derivatives=known)
        return value + derivatives.get(_LINEAR, 0.0)

    @property
    def uses_u(self) -> bool:
        return contains(self.rest, Unknown)

    def of(self, field: ScalarField, x: Point) -> Scalar:
        """E at x for a given function, by exact derivatives."""
        sums = {name: op.partial_sum(operator) for name, operator in self.operators.items()}
        planned = {name: part for name, part in sums.items() if part is not None}
        known: dict[str, Scalar] = op.read_partials(field, x, planned)[1] if planned else {}
        for name, operator in self.operators.items():
            if name not in planned:
                known[name] = _exact(operator, field, x)
        return self(x, field(x), known)

    def _square(self, node: GradNorm2 | GradForm, gradient: Float[Array, " space"]) -> Scalar:
        if isinstance(node, GradForm):
            return op.GradientForm(self.parameters[node.parameter]).of_gradient(gradient)
        return jnp.sum(gradient**2)

    def _constant(self, node: Node) -> Scalar:
        return evaluate(node, self.layout, self.parameters, jnp.zeros(self.layout.dim))


def _exact(operator: AbstractOperator, field: ScalarField, x: Point) -> Scalar:
    """Without nested derivatives where the field is text that differentiates itself in O(dim)."""
    if isinstance(field, Field):
        match operator:
            case op.Laplacian(span=span):
                return field.value_gradient_laplacian(x, op.extent(span, x.size))[2]
            case op.GradientNorm(span=span):
                gradient = field.value_gradient_laplacian(x, op.extent(span, x.size))[1]
                return jnp.sum(gradient**2)
            case op.GradientForm(span=span):
                gradient = field.value_gradient_laplacian(x, op.extent(span, x.size))[1]
                return operator.of_gradient(gradient)
            case op.Drift(velocity=velocity, span=span):
                gradient = field.value_gradient_laplacian(x, op.extent(span, x.size))[1]
                return velocity(x) @ gradient
    return operator.exact(field, x)


def _fresh(name: str, taken: Collection[str]) -> str:
    """The name, or with a number behind it where another derivative is called the same."""
    numbered = (f"{name} ({number})" for number in count(2))
    return next(key for key in chain((name,), numbered) if key not in taken)


class _Operators:
    """The operator that each node stands for."""

    def __init__(self, layout: Layout, parameters: Mapping[str, Array], where: str):
        self.layout, self.parameters, self.where = layout, parameters, where
        family = layout.family_range
        self.span = (family.start, family.stop) if layout.family else None

    def is_exact(self, node: Derivative) -> bool:
        """Whether the operator is a sum of partial derivatives, for which nothing is sampled."""
        named = isinstance(node, Laplacian | Polyharmonic | Trace) and self.layout.family is None
        return isinstance(node, Partial) or named

    def is_sampled(self, node: Derivative) -> bool:
        """A drift is one jet and |grad u|^2 one reverse pass: nothing is sampled for them."""
        first = isinstance(node, Drift | GradNorm2 | GradForm) or _is_first_order(node)
        return not first and not self.is_exact(node)

    def operator(self, node: Derivative) -> AbstractOperator:
        space = self.layout.space
        self._check_order(node)
        match node:
            case Partial(coordinates=coordinates):
                return op.Partial(coordinates)
            case Laplacian() | Polyharmonic() if self.span is None:
                return _powers_of_laplacian(space, getattr(node, "order", 1))
            case Laplacian():
                return op.Laplacian(self.span)
            case Polyharmonic(order=order):
                return op.Polyharmonic(order, self.span)
            case GradNorm2():
                return op.GradientNorm(self.span)
            case GradForm(parameter=name):
                return op.GradientForm(self.parameters[name], self.span)
            case Drift():
                return op.Drift(_Velocity(node, self.layout, self.parameters, self.where))
            case Trace(parameter=name, diagonal=diagonal):
                matrix = self.parameters[name]
                if self.span is None:
                    return _trace_of_partials(space, jnp.diag(matrix) if diagonal else matrix)
                if diagonal:
                    return op.SumOfPartials((2,), span=self.span, coefficient=matrix)
                return op.SecondOrder(matrix, self.span)
            case SumOfPartials():
                return self.sum_of_partials(node)
        raise TypeError(type(node).__name__)

    def _check_order(self, node: Derivative) -> None:
        match node:
            case Partial(coordinates=coordinates):
                order = len(coordinates)
            case Polyharmonic(order=times) if self.span is None:
                order = 2 * times
            case SumOfPartials(targets=targets, fixed=fixed):
                order = len(fixed) + sum(target.order for target in targets)
            case _:
                return
        if order > HIGHEST_ORDER:
            why = f"{node.name} is of order {order}"
            mend = f"derivatives are computed up to order {HIGHEST_ORDER}"
            raise UsageError(self.where, None, why, mend)

    def sum_of_partials(self, node: SumOfPartials) -> AbstractOperator:
        if contains(node.coefficient, Unknown):
            why = "u cannot stand inside a sum of partial derivatives"
            raise UsageError(self.where, None, why, "take it out of the sum")
        if len(set(node.bounds)) > 1:
            raise UsageError(self.where, None, "the indices of this sum have different ranges")
        start = self.layout.family_range.start
        low, high = node.bounds[0]
        span = (start + low, start + high)
        if _is_first_order(node):
            offset = node.targets[0].offset
            factors = _Factors(node, low, high, self.layout, dict(self.parameters))
            return op.Drift(factors, (span[0] + offset, span[1] + offset))
        places = tuple((node.indices.index(t.index), t.offset) for t in node.targets)
        plain = places == tuple((number, 0) for number in range(len(node.indices)))
        return op.SumOfPartials(
            tuple(target.order for target in node.targets),
            fixed=node.fixed,
            span=span,
            coefficient=self.coefficient(node, low),
            places=None if plain else places,
        )

    def coefficient(self, node: SumOfPartials, low: int) -> Any:
        if node.coefficient == Number(1):
            return None
        made = _Coefficient(node, low, self.layout, dict(self.parameters))
        if len(node.indices) == 1 and is_constant(node.coefficient):
            numbers = jnp.arange(node.bounds[0][1] - low)
            return made(jnp.zeros(self.layout.dim), numbers[:, None])
        return made


class _Velocity(eqx.Module):
    """b(x) of dot(b, grad(u)), as a vector of the whole space."""

    node: Drift = eqx.field(static=True)
    layout: Layout = eqx.field(static=True)
    parameters: dict[str, Array]

    def __init__(self, node: Drift, layout: Layout, parameters: Mapping[str, Array], where: str):
        if contains(node.vector, Unknown):
            why = "the vector of dot(b, grad(u)) cannot hold u"
            raise UsageError(where, None, why, "multiply by u outside, or write partials out")
        self.node, self.layout, self.parameters = node, layout, dict(parameters)

    def __call__(self, x: Point) -> Point:
        vector, index = self.node.vector, self.node.index
        found = evaluate_vector(vector, index, self.layout, self.parameters, x)
        space = self.layout.space
        if isinstance(space, range):
            return jnp.zeros_like(x).at[space.start : space.stop].set(found)
        return jnp.zeros_like(x).at[jnp.array(space)].set(found)


class _Coefficient(eqx.Module):
    """C_ij...(x) at given numbers of the indices."""

    node: SumOfPartials = eqx.field(static=True)
    low: int = eqx.field(static=True)
    layout: Layout = eqx.field(static=True)
    parameters: dict[str, Array]

    def __call__(self, x: Point, indices: Int[Array, "sets sums"]) -> Float[Array, " sets"]:
        numbers = {i: self.low + indices[:, k] for k, i in enumerate(self.node.indices)}
        return coefficient_at(self.node, self.layout, self.parameters, x, numbers)


class _Factors(eqx.Module):
    """c_i(x) of sum_i c_i u_i, as a vector over the numbers of the index."""

    node: SumOfPartials = eqx.field(static=True)
    low: int = eqx.field(static=True)
    high: int = eqx.field(static=True)
    layout: Layout = eqx.field(static=True)
    parameters: dict[str, Array]

    def __call__(self, x: Point) -> Float[Array, " numbers"]:
        numbers = {self.node.indices[0]: jnp.arange(self.low, self.high)}
        return coefficient_at(self.node, self.layout, self.parameters, x, numbers)


def _is_first_order(node: Derivative) -> bool:
    """Whether this is sum(i, c[i]*partial(u, x[i])), which is one derivative along c."""
    return isinstance(node, SumOfPartials) and node.order == 1 and len(node.targets) == 1


def _powers_of_laplacian(space: Sequence[int], times: int) -> op.Combination:
    """(sum_k d^2/dx_k^2)^times, multiplied out."""
    counts = Counter(tuple(sorted(choice)) for choice in product(space, repeat=times))
    factors = tuple(float(n) for n in counts.values())
    return op.Combination(factors, tuple(op.Partial(choice * 2) for choice in counts))


def _trace_of_partials(space: Sequence[int], matrix: Float[Array, "n n"]) -> op.Combination:
    pairs = [(m, n) for m in range(len(space)) for n in range(len(space))]
    return op.Combination(
        tuple(matrix[m, n] for m, n in pairs),
        tuple(op.Partial((space[m], space[n])) for m, n in pairs),
    )
