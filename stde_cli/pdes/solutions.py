"""Exact solutions of the inseparable family, with their Laplacians in O(dim).

Each solution is u = (R^2 - |x|^2) S(x), where S is a sum over windows of neighbouring coordinates.
With D = R^2 - |x|^2, grad D = -2x and Laplacian(D) = -2 dim, so

    Laplacian(u) = -2 dim S - 4 x . grad S + D Laplacian(S),

and three sums over windows are all that is needed. [STDE] gives the solutions (appendix I.1); its
code drops chain-rule factors in the three-body source, so the derivatives here are derived anew,
beside each formula, and tested against nested derivatives.
"""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from stde_cli._types import Point, PRNGKey, Scalar
from stde_cli.pdes.trigonometry import sin_cos

_BLOCK = 2048
"""Coordinates handled at once: the intermediates of 100 points stay in the processor's cache."""

Terms = tuple[Float[Array, " windows"], Float[Array, " windows"], Float[Array, " windows"]]
"""For each window of coordinates its term t, sum_k x_k dt/dx_k and sum_k d^2t/dx_k^2."""

Sums = Float[Array, "3"]
"""S, x . grad S and Laplacian(S)."""


class AbstractSolution(eqx.Module):
    """u = (R^2 - |x|^2) sum_i c_i term(x_i, ..., x_{i + window - 1}), c_i ~ N(0, 1) drawn once."""

    radius: eqx.AbstractVar[float]
    coefficients: eqx.AbstractVar[Float[Array, " windows"]]
    window: eqx.AbstractClassVar[int]
    """Coordinates in a term: the least dimension that the solution makes sense in."""

    @abstractmethod
    def terms(self, x: Float[Array, " coordinates"]) -> Terms:
        """The terms of each window of x, before the coefficients."""

    def __call__(self, x: Point) -> Scalar:
        return self.value_and_laplacian(x)[0]

    def value_and_laplacian(self, x: Point) -> tuple[Scalar, Scalar]:
        """u and its Laplacian at x, exactly, in O(dim)."""
        total, radial, laplacian = _sum_over_windows(self, x)
        distance = self.radius**2 - jnp.sum(x**2)
        return (
            distance * total,
            -2.0 * x.size * total - 4 * radial + distance * laplacian,
        )


class TwoBody(AbstractSolution):
    """Term sin(a + cos b + b cos a) of neighbours a = x_i, b = x_{i+1}.

    With h = a + cos b + b cos a: h_a = 1 - b sin a, h_b = cos a - sin b, h_aa = -b cos a,
    h_bb = -cos b, and t = sin h gives t_aa + t_bb = cos h (h_aa + h_bb) - sin h (h_a^2 + h_b^2).
    """

    radius: float = eqx.field(static=True)
    coefficients: Float[Array, " windows"]
    window: ClassVar[int] = 2

    def __init__(self, dim: int, *, radius: float = 1.0, key: PRNGKey):
        self.radius = radius
        self.coefficients = jax.random.normal(key, (dim - 1,))

    def terms(self, x: Float[Array, " coordinates"]) -> Terms:
        sin, cos = sin_cos(x)
        a, b = x[:-1], x[1:]
        sin_a, sin_b, cos_a, cos_b = sin[:-1], sin[1:], cos[:-1], cos[1:]
        sin_h, cos_h = sin_cos(a + cos_b + b * cos_a)
        h_a, h_b = 1 - b * sin_a, cos_a - sin_b
        return (
            sin_h,
            cos_h * (a * h_a + b * h_b),
            -cos_h * (b * cos_a + cos_b) - sin_h * (h_a**2 + h_b**2),
        )


class ThreeBody(AbstractSolution):
    """Term exp(a b c) of neighbours a, b, c = x_i, x_{i+1}, x_{i+2}.

    With p = a b c: each coordinate contributes p to x . grad p, and
    t_aa + t_bb + t_cc = exp(p) ((b c)^2 + (a c)^2 + (a b)^2).
    """

    radius: float = eqx.field(static=True)
    coefficients: Float[Array, " windows"]
    window: ClassVar[int] = 3

    def __init__(self, dim: int, *, radius: float = 1.0, key: PRNGKey):
        self.radius = radius
        self.coefficients = jax.random.normal(key, (dim - 2,))

    def terms(self, x: Float[Array, " coordinates"]) -> Terms:
        a, b, c = x[:-2], x[1:-1], x[2:]
        ab, bc = a * b, b * c
        product = ab * c
        term = jnp.exp(product)
        return term, 3 * product * term, term * (bc**2 + (a * c) ** 2 + ab**2)


def _sum_over_windows(solution: AbstractSolution, x: Point) -> Sums:
    """sum_i c_i of each of the solution's terms, streamed over blocks of windows.

    A straight sum would write an array of the batch's size for each of some ten intermediates;
    a block of them fits in cache, which makes the source several times faster from 10 000
    coordinates on, and its temporary memory independent of dim.
    """
    coefficients = solution.coefficients
    blocks = (coefficients.size - 1) // _BLOCK

    def block_sums(x: Float[Array, " coordinates"], c: Float[Array, " windows"]) -> Sums:
        # Stacked, the terms are written to cache once and multiplied by c in vector registers. As
        # three products XLA would fuse each with its terms into a scalar loop, seven times slower.
        return jnp.stack(solution.terms(x)) @ c

    # Reversed, for the gradient of the source, a block is computed anew rather than kept.
    @jax.checkpoint
    def add(sums: Sums, start: jax.Array) -> tuple[Sums, None]:
        windows = lax.dynamic_slice_in_dim(x, start, _BLOCK + solution.window - 1)
        c = lax.dynamic_slice_in_dim(coefficients, start, _BLOCK)
        return sums + block_sums(windows, c), None

    rest = blocks * _BLOCK
    sums = block_sums(x[rest:], coefficients[rest:])
    return lax.scan(add, sums, jnp.arange(blocks) * _BLOCK)[0] if blocks else sums
