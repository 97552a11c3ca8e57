"""Taylor polynomials pushed through a function.

A polynomial p(e) = sum_a c_a e^a in the unknowns e = (e_1 ... e_T), cut off outside a down-closed
set of multi-indices a, goes through every primitive of g by the rules of arithmetic:

    linear      every coefficient alone, all of them in one product with a layer's matrix;
    product     sums of products of coefficients, (xy)_a = sum_b x_b y_{a-b};
    elementwise f(z + d) = sum_n f^(n)(z)/n! d^n, where d is the polynomial without its constant.

One unknown and the set {1 ... k} give the k-jet of [STDE] section 3; several unknowns with linear
seeds give mixed partial derivatives one by one (Griewank and Walther, "Evaluating Derivatives",
2008, chapter 13). A scan carries polynomials from step to step. Any other primitive, loops of
unknown length included, is differentiated by nested `jax.jvp`.

Several polynomials with the same constant term go through together, and what it goes through is
computed once. Where only a weighted sum of uppermost coefficients is wanted, within a polynomial or
over all of them, that sum is propagated in their place: no other coefficient is made of them, so
that they form an ideal of the algebra and the rules above hold for the quotient. For a Laplacian
from r directions these are r + 2 arrays a layer, not 2r + 1 (Li et al., "Forward Laplacian", 2023;
for any order Dangel et al., "Collapsing Taylor mode automatic differentiation", 2025).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, reduce
from itertools import product
from operator import add
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core as jex_core
from jaxtyping import Array, Float

from stde_cli.autodiff.taylor import elementwise
from stde_cli.autodiff.taylor.interpreter import (
    LINEAR,
    PRODUCTS,
    evaluate,
    interpret,
    is_complex,
    is_entrywise,
    is_real,
    rows_first,
)
from stde_cli.system.types import RestrictedField, Scalar

Index: TypeAlias = tuple[int, ...]
"""A multi-index: an exponent for every unknown."""

Coefficients: TypeAlias = dict[Index, Array]
"""Coefficients by multi-index; a leading axis is that of the polynomials. A missing one is zero."""

COLLAPSED: Index = ()
"""The key of the weighted sum of uppermost coefficients, which has no leading axis.

Empty, so that it is the multi-index of no coefficient: every other has an exponent an unknown.
"""


class _Polynomial(NamedTuple):
    """A value along the unknowns: c_0, which all polynomials share, and the other coefficients."""

    primal: jax.Array
    coefficients: Coefficients


def _constant(value: Any) -> _Polynomial:
    """A number or an array that does not move."""
    return _Polynomial(jnp.asarray(value), {})


def push(
    field: RestrictedField,
    seeds: Mapping[Index, Float[Array, " directions"]],
    indices: Sequence[Index],
    collapsed: Mapping[Index, float | Scalar] | None = None,
) -> tuple[Scalar, dict[Index, Scalar]]:
    """g(0), and D^a (g o p)(0) for every a in `indices`, where p has the derivatives `seeds` at 0.

    Arguments are those of `push_together`, for one polynomial.
    """
    stacked = {a: seed[None] for a, seed in seeds.items()}
    value, found = push_together(field, stacked, indices, collapsed)
    return value, {a: c if a == COLLAPSED else c[0] for a, c in found.items()}


def push_together(
    field: RestrictedField,
    seeds: Mapping[Index, Float[Array, "polynomials directions"]],
    indices: Sequence[Index],
    collapsed: Mapping[Index, float | Scalar] | None = None,
    weights: Float[Array, " polynomials"] | None = None,
) -> tuple[Scalar, dict[Index, Float[Array, "..."]]]:
    """g(0), and D^a (g o p_k)(0) for every a in `indices` and every polynomial p_k.

    Differentiable in whatever `field` closes over, in reverse mode too.

    Args:
        field: g on R^directions.
        seeds: D^a p_k(0) by multi-index, in row k.
        indices: a down-closed set, without zero.
        collapsed: factors of uppermost members of `indices`. The number
            sum_k weights_k sum_a factor_a D^a (g o p_k)(0) is returned under `COLLAPSED`, and these
            members are not returned by themselves.
        weights: of the polynomials in that sum; 1 without them.
    """
    some = next(iter(seeds.values()))
    algebra = _Algebra(tuple(indices), collapsed or {}, weights, polynomials=len(some))
    origin = jnp.zeros_like(some[0])
    seeded: _Terms = {}
    for a, seed in seeds.items():
        if (slot := algebra.slots.get(a)) is not None:
            algebra.put(seeded, slot, seed / float(_factorial(a)))
    closed = jax.make_jaxpr(field)(origin)
    start = _Polynomial(origin, _summed(seeded))
    (out,) = interpret(closed, [start], _Rule(algebra), _constant)
    found = {}
    for key in dict.fromkeys(slot.key for slot in algebra.slots.values()):
        shape = () if key == COLLAPSED else some.shape[:1]
        missing = jnp.zeros(shape, out.primal.dtype)
        found[key] = float(_factorial(key)) * out.coefficients.get(key, missing)
    return out.primal, found


def value_and_trace(field: RestrictedField, directions: int) -> tuple[Scalar, Scalar]:
    """g(0) and sum_k d^2g/ds_k^2 (0) for g = `field` on R^directions."""
    value, found = push_together(field, {(1,): jnp.eye(directions)}, ((1,), (2,)), {(2,): 1.0})
    return value, found[COLLAPSED]


def down_closure(indices: Iterable[Index]) -> tuple[Index, ...]:
    """Every multi-index below one of `indices`, without zero, by degree."""
    below = {b for a in indices for b in product(*(range(n + 1) for n in a)) if any(b)}
    return tuple(sorted(below, key=lambda a: (sum(a), a)))


def is_uppermost(a: Index, indices: Iterable[Index]) -> bool:
    """No other member of `indices` lies above `a`."""
    return not any(b != a and all(m >= n for m, n in zip(b, a, strict=True)) for b in indices)


class _Slot(NamedTuple):
    """Where the coefficient of a multi-index is kept, and by what it is multiplied on the way.

    Under its own index, but for an uppermost one of which only the weighted sum is wanted: that is
    added to the others under `COLLAPSED`.
    """

    key: Index
    factor: float | Scalar = 1.0


_Terms: TypeAlias = dict[Index, list[jax.Array]]
"""What adds up to each coefficient."""


class _Algebra:
    """Polynomials cut off outside `indices`, modulo what the collapsed sum does not see."""

    def __init__(
        self,
        indices: tuple[Index, ...],
        collapsed: Mapping[Index, float | Scalar],
        weights: Float[Array, " polynomials"] | None,
        polynomials: int,
    ):
        for a in collapsed:
            assert is_uppermost(a, indices), f"{a} is not uppermost"
        self.weights, self.polynomials = weights, polynomials
        self.order = max(map(sum, indices))
        self.slots = {
            # Coefficients are D^a/a!, the collapsed sum is one of derivatives.
            a: _Slot(COLLAPSED, collapsed[a] * float(_factorial(a))) if a in collapsed else _Slot(a)
            for a in indices
        }

    def times(self, a: Index, b: Index) -> _Slot | None:
        """The slot of e^a e^b; None where it is cut off."""
        if COLLAPSED in (a, b):
            return None
        return self.slots.get(tuple(m + n for m, n in zip(a, b, strict=True)))

    def put(self, terms: _Terms, slot: _Slot, value: Float[Array, "polynomials ..."]) -> None:
        """Add a term to the coefficient of a slot: for the collapsed one, over all polynomials."""
        if slot.key == COLLAPSED:
            weights = self.weights
            value = jnp.sum(value, 0) if weights is None else jnp.tensordot(weights, value, 1)
        exact = isinstance(slot.factor, float) and slot.factor == 1
        terms.setdefault(slot.key, []).append(value if exact else slot.factor * value)


def _apply(
    equation: jex_core.JaxprEqn, operands: Sequence, moving: list[int], *moved: jax.Array
) -> list[jax.Array]:
    """The outputs of `equation`, with `moved` in place of the operands that are `moving`."""
    values = dict(zip(moving, moved, strict=True))
    return evaluate(equation, [values.get(k, operand) for k, operand in enumerate(operands)])


class _Rule:
    """The outputs of an equation, in an algebra."""

    def __init__(self, algebra: _Algebra):
        self.algebra = algebra

    def __call__(self, equation: jex_core.JaxprEqn, inputs: list[_Polynomial]) -> list[_Polynomial]:
        name = equation.primitive.name
        moving = [k for k, p in enumerate(inputs) if p.coefficients]
        real = [k for k, atom in enumerate(equation.outvars) if is_real(atom)]
        apply = partial(_apply, equation, [p.primal for p in inputs], moving)
        primals = [inputs[k].primal for k in moving]
        if moving and any(is_complex(atom) for atom in equation.outvars):
            why = "complex numbers do not go through Taylor mode"
            raise ValueError(f"{name}: {why}; write the function of real and imaginary parts")
        if not moving or not real:
            return [_Polynomial(value, {}) for value in apply(*primals)]
        moved = [inputs[k].coefficients for k in moving]
        if name == "div":
            return [self._quotient(*inputs)]
        if name == "scan":
            return self._scan(equation, inputs)
        if is_entrywise(equation, moving):
            return [self._compose(equation, apply, primals[0], moved[0])]
        linear = name in LINEAR or (name in PRODUCTS and len(moving) == 1)
        if linear and len(real) == 1:
            swapped = name == "dot_general" and moving == [1]
            by_rows = rows_first(equation, inputs[0].primal) if swapped else None
            (value,) = (by_rows or apply)(*primals)
            return [_Polynomial(value, _linear(by_rows or apply, primals, moved))]
        if name in PRODUCTS:
            return [self._product(lambda x, y: apply(x, y)[0], primals, moved)]
        return self._by_definition(apply, real, primals, moved)

    def _product(
        self,
        apply: Callable[[jax.Array, jax.Array], jax.Array],
        primals: Sequence[jax.Array],
        moved: Sequence[Coefficients],
    ) -> _Polynomial:
        left, right = moved
        terms: _Terms = {}
        for a, x in left.items():
            terms.setdefault(a, []).append(_each(lambda x: apply(x, primals[1]), a)(x))
        for b, y in right.items():
            terms.setdefault(b, []).append(_each(lambda y: apply(primals[0], y), b)(y))
        for (a, x), (b, y) in product(left.items(), right.items()):
            if (slot := self.algebra.times(a, b)) is not None:
                self.algebra.put(terms, slot, jax.vmap(apply)(x, y))
        return _Polynomial(apply(*primals), _summed(terms))

    def _quotient(self, numerator: _Polynomial, denominator: _Polynomial) -> _Polynomial:
        order = self.algebra.order if denominator.coefficients else 0
        slopes = elementwise.derivatives("reciprocal", {}, denominator.primal, order)
        inverse = self._series(slopes, denominator.coefficients) if order else {}
        primals = [numerator.primal, slopes[0]]
        return self._product(jnp.multiply, primals, [numerator.coefficients, inverse])

    def _compose(
        self,
        equation: jex_core.JaxprEqn,
        apply: Callable[[jax.Array], list[jax.Array]],
        primal: jax.Array,
        moved: Coefficients,
    ) -> _Polynomial:
        name, order = equation.primitive.name, self.algebra.order

        # Computed again in the reverse pass: it is cheap, and its intermediate values are many.
        @jax.checkpoint
        def composed(primal: jax.Array, moved: Coefficients) -> tuple[jax.Array, Coefficients]:
            if elementwise.knows(name, equation):
                slopes = elementwise.derivatives(name, equation.params, primal, order)
            else:
                slopes = elementwise.nested(lambda z: apply(z)[0], primal, order)
            return slopes[0], self._series(slopes, moved)

        return _Polynomial(*composed(primal, moved))

    def _series(self, slopes: Sequence[jax.Array], moved: Coefficients) -> Coefficients:
        """sum_{n >= 1} f^(n)/n! d^n, from the slopes f, f', f'' ... at the constant term."""
        power, terms = moved, {a: [slopes[1] * c] for a, c in moved.items()}
        for n in range(2, self.algebra.order + 1):
            power = self._next_power(power, moved, n)
            factor = slopes[n] / float(math.factorial(n))
            for a, c in power.items():
                terms.setdefault(a, []).append(factor * c)
        return _summed(terms)

    def _next_power(self, power: Coefficients, moved: Coefficients, n: int) -> Coefficients:
        """d^n from d^(n-1) and d. The square takes each pair of coefficients once."""
        terms: _Terms = {}
        for (a, x), (b, y) in product(power.items(), moved.items()):
            slot = self.algebra.times(a, b)
            if slot is None or (n == 2 and a > b):
                continue
            twice = 2.0 if n == 2 and a < b else 1.0
            self.algebra.put(terms, slot._replace(factor=twice * slot.factor), x * y)
        return _summed(terms)

    def _scan(
        self, equation: jex_core.JaxprEqn, inputs: Sequence[_Polynomial]
    ) -> list[_Polynomial]:
        """The same loop over polynomials: of what is carried, none of the coefficients is left out,
        since any of them may arise on the way."""
        closed, length, reverse = (equation.params[k] for k in ("jaxpr", "length", "reverse"))
        first = equation.params["num_consts"]
        last = first + equation.params["num_carry"]
        constants, carried, rows = inputs[:first], inputs[first:last], inputs[last:]

        # Computed again in the reverse pass: only what is carried is kept of every step.
        @jax.checkpoint
        def step(
            carried: list[_Polynomial], row: list[_Polynomial]
        ) -> tuple[list[_Polynomial], list[_Polynomial]]:
            out = interpret(closed, [*constants, *carried, *row], self, _constant)
            return [*map(self._filled, out[: len(carried)])], out[len(carried) :]

        start, steps = [*map(self._filled, carried)], [_with_axis(p, 1, 0) for p in rows]
        carried, rows = lax.scan(step, start, steps, length, reverse)
        return [*carried, *(_with_axis(p, 0, 1) for p in rows)]

    def _filled(self, polynomial: _Polynomial) -> _Polynomial:
        """With a zero for every coefficient that is missing."""
        primal, coefficients = polynomial
        if not jnp.issubdtype(primal.dtype, jnp.floating):
            return polynomial
        filled = dict(coefficients)
        for slot in self.algebra.slots.values():
            shape = primal.shape
            if slot.key != COLLAPSED:
                shape = (self.algebra.polynomials, *shape)
            filled.setdefault(slot.key, jnp.zeros(shape, primal.dtype))
        return _Polynomial(primal, filled)

    def _by_definition(
        self,
        apply: Callable[..., list[jax.Array]],
        real: Sequence[int],
        primals: Sequence[jax.Array],
        moved: Sequence[Coefficients],
    ) -> list[_Polynomial]:
        """Coefficients as derivatives of apply(p(e)) in e, by nested `jax.jvp`."""
        algebra = self.algebra
        unknowns = len(next(iter(algebra.slots)))
        origin = jnp.zeros(unknowns, primals[0].dtype)

        def outputs(*operands: jax.Array) -> list[jax.Array]:
            out = apply(*operands)
            return [out[k] for k in real]

        def one(moved: Sequence[Coefficients]) -> dict[Index, list[jax.Array]]:
            """D^a outputs(p(e))/a! of one polynomial, by output."""

            def at(e: Float[Array, " unknowns"]) -> list[jax.Array]:
                terms = ([c * _monomial(e, a) for a, c in part.items()] for part in moved)
                return outputs(
                    *(reduce(add, part, p) for p, part in zip(primals, terms, strict=True))
                )

            return {a: _derivative(at, a, origin) for a in algebra.slots}

        single = [{a: c for a, c in part.items() if a != COLLAPSED} for part in moved]
        terms: list[_Terms] = [{} for _ in real]
        if any(single):
            for a, values in jax.vmap(one)(single).items():
                for part, value in zip(terms, values, strict=True):
                    algebra.put(part, algebra.slots[a], value)
        sums = [part.get(COLLAPSED) for part in moved]
        if any(c is not None for c in sums):
            # The sums enter to first order alone.
            tangents = [
                jnp.zeros_like(p) if c is None else c for c, p in zip(sums, primals, strict=True)
            ]
            slopes = jax.jvp(outputs, tuple(primals), tuple(tangents))[1]
            for part, slope in zip(terms, slopes, strict=True):
                part.setdefault(COLLAPSED, []).append(slope)
        polynomials = [_Polynomial(value, {}) for value in apply(*primals)]
        for part, k in zip(terms, real, strict=True):
            polynomials[k] = _Polynomial(polynomials[k].primal, _summed(part))
        return polynomials


def _derivative(function: Callable[..., Any], a: Index, origin: Array) -> Any:
    """D^a function(0)/a!."""
    derivative = function
    for unknown, times in enumerate(a):
        for _ in range(times):
            derivative = _along(derivative, jnp.zeros_like(origin).at[unknown].set(1))
    return jax.tree.map(lambda value: value / float(_factorial(a)), derivative(origin))


def _linear(
    apply: Callable[..., list[jax.Array]],
    primals: Sequence[jax.Array],
    moved: Sequence[Coefficients],
) -> Coefficients:
    """Every coefficient by itself, all of them in one call; what does not move drops out."""
    present = sorted({a for coefficients in moved for a in coefficients})
    sizes = [1 if a == COLLAPSED else next(len(c[a]) for c in moved if a in c) for a in present]
    stacked = [
        jnp.concatenate(
            [
                c[a].reshape(size, *p.shape) if a in c else jnp.zeros((size, *p.shape), p.dtype)
                for a, size in zip(present, sizes, strict=True)
            ]
        )
        for p, c in zip(primals, moved, strict=True)
    ]
    out = jax.vmap(lambda *c: jax.jvp(apply, tuple(primals), c)[1][0])(*stacked)
    # Split, not indexed: the transpose is one concatenation, not a sum of padded arrays.
    parts = dict(zip(present, lax.split(out, sizes), strict=True))
    return {a: part[0] if a == COLLAPSED else part for a, part in parts.items()}


def _with_axis(polynomial: _Polynomial, old: int, new: int) -> _Polynomial:
    """The axis of a loop's steps, brought in front of that of the polynomials or behind it."""
    moved = {
        a: c if a == COLLAPSED else jnp.moveaxis(c, old, new)
        for a, c in polynomial.coefficients.items()
    }
    return _Polynomial(polynomial.primal, moved)


def _each(function: Callable[[Array], Array], a: Index) -> Callable[[Array], Array]:
    """`function` for every polynomial, or for their sum."""
    return function if a == COLLAPSED else jax.vmap(function)


def _summed(terms: _Terms) -> Coefficients:
    return {a: reduce(add, parts) for a, parts in terms.items()}


def _monomial(e: Float[Array, " unknowns"], a: Index) -> Scalar:
    return math.prod((e[k] ** n for k, n in enumerate(a) if n), start=jnp.ones((), e.dtype))


def _along(function, tangent):
    return lambda e: jax.jvp(function, (e,), (tangent,))[1]


def _factorial(a: Index) -> int:
    return math.prod(map(math.factorial, a))
