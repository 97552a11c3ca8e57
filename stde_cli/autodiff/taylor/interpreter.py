"""Walking through a jaxpr with values that carry derivatives."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray
from jax.extend import core as jex_core

T = TypeVar("T")
Rule = Callable[[jex_core.JaxprEqn, list[T]], list[T]]

CALLS: Mapping[str, str] = dict.fromkeys(("jit", "pjit", "remat", "remat2", "checkpoint"), "jaxpr")
"""Primitives that only call a function, with the parameter that holds it."""


def interpret(
    closed: jex_core.ClosedJaxpr,
    arguments: Sequence[T],
    rule: Rule[T],
    constant: Callable[[Any], T],
    calls: Mapping[str, str] = CALLS,
) -> list[T]:
    """The outputs of `closed` where every equation is computed by `rule`.

    Args:
        rule: the outputs of one equation from its inputs.
        constant: what stands for a number or array that does not move.
        calls: primitives whose function is walked through in their place.
    """

    def walk(jaxpr: jex_core.Jaxpr, consts: Sequence[T], arguments: Sequence[T]) -> list[T]:
        values: dict[jex_core.Var, T] = {}

        def read(atom) -> T:
            if isinstance(atom, jex_core.Literal):
                return constant(jnp.asarray(atom.val, aval(atom).dtype))
            return values[atom]

        values.update(zip(jaxpr.constvars, consts, strict=True))
        values.update(zip(jaxpr.invars, arguments, strict=True))
        for equation in jaxpr.eqns:
            inputs = [read(atom) for atom in equation.invars]
            if equation.primitive.name in calls:
                inner = equation.params[calls[equation.primitive.name]]
                if isinstance(inner, jex_core.ClosedJaxpr):
                    outputs = walk(inner.jaxpr, list(map(constant, inner.consts)), inputs)
                else:
                    outputs = walk(inner, (), inputs)
            else:
                outputs = rule(equation, inputs)
            values.update(zip(equation.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    return walk(closed.jaxpr, list(map(constant, closed.consts)), arguments)


def evaluate(equation: jex_core.JaxprEqn, operands: Sequence) -> list[jax.Array]:
    """The outputs of one equation, as JAX computes them."""
    params = equation.primitive.get_bind_params(equation.params)
    out = equation.primitive.bind(*operands, **params)
    return list(out) if equation.primitive.multiple_results else [out]


def aval(atom: jex_core.Var | jex_core.Literal) -> ShapedArray:
    """Shape and type of a value."""
    found = atom.aval
    assert isinstance(found, ShapedArray)
    return found


def is_real(atom: jex_core.Var | jex_core.Literal) -> bool:
    """Whether a value can have derivatives: a loop's counter, say, has none."""
    return jnp.issubdtype(aval(atom).dtype, jnp.floating)


def is_complex(atom: jex_core.Var | jex_core.Literal) -> bool:
    return jnp.issubdtype(aval(atom).dtype, jnp.complexfloating)


LINEAR = frozenset(
    """
    add add_any broadcast_in_dim concatenate convert_element_type copy copy_p cumsum dynamic_slice
    dynamic_update_slice expand_dims gather neg pad real reduce_sum reshape rev select_n slice split
    squeeze sub transpose
    """.split()
)
"""Primitives that are linear in their floating-point operands taken together."""

PRODUCTS = frozenset(("mul", "dot_general"))
"""Primitives that are linear in each of their two operands."""

ELEMENTWISE = frozenset(
    """
    abs acos acosh asin asinh atan atanh cbrt cos cosh div erf erf_inv erfc exp exp2 expm1
    integer_pow lgamma log log1p logistic max min pow rsqrt sin sinh sqrt square tan tanh
    """.split()
)
"""Primitives that act entry by entry; used as such where one operand moves."""


def is_entrywise(equation: jex_core.JaxprEqn, moving: Sequence[int]) -> bool:
    """One operand moves and the output has its shape, so that entries do not mix."""
    if equation.primitive.name not in ELEMENTWISE or len(moving) != 1:
        return False
    (output,) = equation.outvars
    return aval(output).shape == aval(equation.invars[moving[0]]).shape


def rows_first(
    equation: jex_core.JaxprEqn, matrix: jax.Array
) -> Callable[[jax.Array], list[jax.Array]] | None:
    """matrix . x as x^T . matrix^T, so that the rows of a batch stay rows.

    With the matrix in front XLA transposes every batch before the product and after it. None where
    the product has batch dimensions of its own.
    """
    (contracted, by), (batch, _) = equation.params["dimension_numbers"]
    if batch:
        return None

    def apply(x: jax.Array) -> list[jax.Array]:
        out = lax.dot_general(
            x,
            matrix,
            ((by, contracted), ((), ())),
            precision=equation.params["precision"],
            preferred_element_type=equation.params["preferred_element_type"],
        )
        free = x.ndim - len(by)
        return [jnp.moveaxis(out, range(free), range(out.ndim - free, out.ndim))]

    return apply
