import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from stde_cli.autodiff.directions import (
    AbstractDirections,
    AbstractSampler,
    CoordinateDirections,
    DenseDirections,
    one_by_one,
)
from stde_cli.problem.operators.base import AbstractOperator, Jets, Span, extent, hessian_within
from stde_cli.system.types import Point, PRNGKey, Scalar, ScalarField


class SecondOrder(AbstractOperator):
    """sum_ij C_ij d^2 u / (dx_i dx_j) for a constant matrix C, definite or not.

    The spectral form of [STDE] section 4.3, with signs in place of a shift. Where C + C^T = 2 sum_k
    l_k q_k q_k^T, a coordinate sampler chooses eigenvectors, in proportion to |l_k| if it does so:
    v = sqrt|l_k| q_k, weighted by the sign of l_k. Isotropic directions w give the pair
    v = sum_k sqrt|l_k| w_k q_k and v' = the same with signs, and E D^2u(v, v') is the operator; a
    shift of C to a definite matrix would add its own variance.
    """

    matrix: Float[Array, "span span"]
    roots: Float[Array, "span span"]
    """Row k is sqrt|l_k| q_k."""
    signs: Float[Array, " span"]
    span: Span = eqx.field(static=True)

    def __init__(self, matrix: Float[Array, "span span"], span: Span = None):
        symmetric = (matrix + matrix.T) / 2
        eigenvalues, eigenvectors = jnp.linalg.eigh(symmetric)
        self.matrix, self.span = symmetric, span
        self.roots = jnp.sqrt(jnp.abs(eigenvalues))[:, None] * eigenvectors.T
        self.signs = jnp.sign(eigenvalues)

    def exact(self, field: ScalarField, x: Point) -> Scalar:
        return jnp.sum(self.matrix * hessian_within(field, x, self.span))

    def draw(
        self, sampler: AbstractSampler, batch: int, dim: int, *, key: PRNGKey
    ) -> AbstractDirections:
        count = len(self.signs)
        sizes = jnp.sum(self.roots**2, axis=1)
        return sampler(count, min(batch, count), sizes=sizes, key=key)

    def jets(self, x: Point, drawn: AbstractDirections) -> tuple[Jets, ...]:
        over = extent(self.span, x.size)
        weights = drawn.weights
        if isinstance(drawn, CoordinateDirections):
            vectors = DenseDirections(drawn.contract(self.roots.T), weights)
            signed = weights * self.signs[drawn.indices]
            directions = one_by_one(vectors.embedded(over, x.size))
            return (Jets(directions, signed, (2,), signed=True),)
        assert isinstance(drawn, DenseDirections)
        pair = (drawn.vectors, drawn.vectors * self.signs)
        moved = (DenseDirections(w @ self.roots, weights).embedded(over, x.size) for w in pair)
        return (Jets(one_by_one(*moved), weights, (1, 1)),)
