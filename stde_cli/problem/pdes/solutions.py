"""Exact solutions of the inseparable family, with their Laplacians in O(dim).

Each solution is u = (R^2 - |x|^2) S(x), where S is a sum over windows of neighbouring coordinates.
With D = R^2 - |x|^2, grad D = -2x and Laplacian(D) = -2 dim, so

    Laplacian(u) = -2 dim S - 4 x . grad S + D Laplacian(S),

and three sums over windows are all that is needed. [STDE] gives the solutions (appendix I.1); its
code drops chain-rule factors in the three-body source, so the derivatives here are derived anew,
beside each formula, and tested against nested derivatives.

The gradients of these sums are in O(dim) too: a coordinate is in no more windows than a window has
places, so each component is a sum over its places of derivatives along one column of windows.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from stde_cli.problem.pdes.trigonometry import sin_cos
from stde_cli.system.ranges import Positive
from stde_cli.system.types import Point, PRNGKey, Scalar

_BLOCK = 2048
"""Coordinates handled at once: the intermediates of 100 points stay in the processor's cache."""

Column = Float[Array, " windows"]
"""A number for each window; as coordinates, those in one place of every window."""

Terms = tuple[Column, Column, Column]
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
    def terms(self, x: Sequence[Column]) -> Terms:
        """The terms of each window, before the coefficients, from the columns of its coordinates.

        Entry by entry, and from nothing but x: the gradient of the sums relies on it.
        """

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

    def __init__(self, dim: int, *, radius: Positive = 1.0, key: PRNGKey):
        self.radius = radius
        self.coefficients = jax.random.normal(key, (dim - 1,))

    def terms(self, x: Sequence[Column]) -> Terms:
        a, b = x
        sin_a, cos_a = sin_cos(a)
        sin_b, cos_b = sin_cos(b)
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

    def __init__(self, dim: int, *, radius: Positive = 1.0, key: PRNGKey):
        self.radius = radius
        self.coefficients = jax.random.normal(key, (dim - 2,))

    def terms(self, x: Sequence[Column]) -> Terms:
        a, b, c = x
        ab, bc = a * b, b * c
        product = ab * c
        term = jnp.exp(product)
        return term, 3 * product * term, term * (bc**2 + (a * c) ** 2 + ab**2)


@eqx.filter_custom_jvp
def _sum_over_windows(solution: AbstractSolution, x: Point) -> Sums:
    """sum_i c_i of each of the solution's terms."""
    return _streamed(solution, solution.coefficients, x)


@_sum_over_windows.def_jvp
def _sum_over_windows_jvp(primals, tangents) -> tuple[Sums, Sums]:
    """Linear in the tangents given, which are None where nothing moves; reversed, a gradient.

    The slopes do not depend on the tangent. So the reverse pass, sum_n g_n slopes_n, is one loop
    over the coordinates in which XLA computes all that is in the slopes, and writes its sum alone.
    """
    (solution, x), (d_solution, d_x) = primals, tangents
    tangent = jnp.zeros(3, x.dtype)
    if d_x is not None:
        tangent += jnp.stack([jnp.sum(slope * d_x) for slope in _slopes(solution, x)])
    if d_solution.coefficients is not None:
        tangent += _streamed(solution, d_solution.coefficients, x)
    return _sum_over_windows(solution, x), tangent


def _columns(x: Float[Array, " coordinates"], windows: int, places: int) -> list[Column]:
    """The coordinates x[k], x[k + 1], ... in place k of successive windows, for every k."""
    return [x[k : k + windows] for k in range(places)]


def _streamed(solution: AbstractSolution, coefficients: Column, x: Point) -> Sums:
    """sum_i c_i of each of the solution's terms, streamed over blocks of windows.

    A straight sum would write an array of the batch's size for each of the terms; a block of them
    fits in cache, and the temporary memory is independent of dim.
    """
    places = solution.window
    blocks = (coefficients.size - 1) // _BLOCK

    def block_sums(x: Float[Array, " coordinates"], c: Column) -> Sums:
        # A matrix product: as jnp.sum(term * c) XLA would fuse it with its term into a scalar loop.
        return jnp.stack([term @ c for term in solution.terms(_columns(x, c.size, places))])

    def block(start: jax.Array | int) -> tuple[Float[Array, " coordinates"], Column]:
        windows = lax.dynamic_slice_in_dim(x, start, _BLOCK + places - 1)
        return windows, lax.dynamic_slice_in_dim(coefficients, start, _BLOCK)

    # The next block is cut out beside the arithmetic on this one: with a cut inside of its loops,
    # XLA vectorises none of them and is up to six times slower.
    def add(carry, next_start: jax.Array):
        sums, (windows, c) = carry
        return (sums + block_sums(windows, c), block(next_start)), None

    rest = blocks * _BLOCK
    sums = block_sums(x[rest:], coefficients[rest:])
    if not blocks:
        return sums
    # The last block cut out is of no use: it lies where it fits.
    next_starts = jnp.arange(1, blocks + 1) * _BLOCK
    return lax.scan(add, (sums, block(0)), next_starts)[0][0]


def _slopes(solution: AbstractSolution, x: Point) -> list[Float[Array, " dim"]]:
    """The gradients of the three sums, sum_k c_{i-k} dt_{i-k}/d(place k) in component i.

    With margins there are no borders: what is summed for component i is at place i of every array,
    so that XLA makes one vector loop of it all. The coefficients' margins are zero; those of x can
    be anything, and are its own entries, which XLA copies faster than it pads with zeros.
    """
    dim, places = x.size, solution.window
    margin = places - 1
    x = jnp.concatenate([x[:margin], x, x[dim - margin :]])
    c = jnp.pad(solution.coefficients, margin)

    def rates(place: int) -> Terms:
        """Of the windows that have component i in this place."""
        columns = _columns(x[margin - place :], dim, places)

        def terms(column: Column) -> Terms:
            return solution.terms([*columns[:place], column, *columns[place + 1 :]])

        return jax.jvp(terms, (columns[place],), (jnp.ones(dim, x.dtype),))[1]

    slopes = [jnp.zeros(dim, x.dtype)] * 3
    for place in range(places):
        start = margin - place
        weighted = [c[start : start + dim] * rate for rate in rates(place)]
        slopes = [slope + rate for slope, rate in zip(slopes, weighted, strict=True)]
    return slopes
