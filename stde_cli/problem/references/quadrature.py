"""Gauss rules of the normal and the gamma distribution, and polynomials orthonormal under them.

With X = x + sqrt(2 a tau) xi and independent normal numbers xi, a coordinate of X is of the first
kind, and |X - x|^2 of the second. Both families are eigenfunctions of the heat equation in the
coordinates in which X has the same distribution at all tau.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Rule(NamedTuple):
    """n points, and n orthonormal polynomials of degree 0 to n - 1.

    Attributes:
        nodes: mean 0 and variance 1 under the weights.
        roots: square roots of the weights, which add up to 1.
        basis: roots[k] p_j(nodes[k]), an orthogonal matrix.
        slope: p_j' = sum_i slope[i, j] p_i.
        rates: the j-th polynomial decays like tau^rates[j] as tau goes to 0.
    """

    nodes: Float[Array, " n"]
    roots: Float[Array, " n"]
    basis: Float[Array, "n n"]
    slope: Float[Array, "n n"]
    rates: Float[Array, " n"]


def constant() -> Rule:
    """Of a coordinate that a problem does not have."""
    one, zero = np.ones(1), np.zeros(1)
    return _rule(zero, one, one[None], zero[None], zero)


def normal(n: int) -> Rule:
    """Of xi ~ N(0, 1): Hermite polynomials."""
    degree = np.arange(n)
    slope = np.diag(np.sqrt(degree[1:]), 1)
    return _rule(*_golub_welsch(np.zeros(n), np.sqrt(degree[1:])), slope, degree / 2)


def chi_square(n: int, dim: int) -> Rule:
    """Of z = (|xi|^2 / 2 - dim / 2) / sqrt(dim / 2), xi ~ N(0, I) in `dim` coordinates.

    Generalised Laguerre polynomials with alpha = dim / 2 - 1, written so that the recurrence goes
    over into that of Hermite's as dim grows.
    """
    half, degree = dim / 2, np.arange(n)
    m = degree[1:]
    found = _golub_welsch(2 * degree / np.sqrt(half), np.sqrt(m * (1 + (m - 1) / half)))
    # L_n' = -(L_0 + ... + L_{n-1}), with factors that make each orthonormal.
    steps = np.concatenate([[0.0], np.cumsum(np.log(m / (m + half - 1)) / 2)])
    ratio = np.exp(np.triu(steps[None, :] - steps[:, None], 1))
    sign = (-1.0) ** (degree[None, :] - degree[:, None] - 1)
    slope = np.triu(np.sqrt(half) * sign * ratio, 1)
    return _rule(*found, slope, degree.astype(float))


def _rule(*arrays: np.ndarray) -> Rule:
    return Rule(*map(jnp.asarray, arrays))


def _golub_welsch(
    diagonal: Float[np.ndarray, " n"], beside: Float[np.ndarray, " n-1"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, "n n"]]:
    """Nodes, roots of weights and basis from a recurrence (Golub and Welsch 1969)."""
    # SciPy takes a quarter of a second, which commands without a reference need not wait for.
    from scipy.linalg import eigh_tridiagonal

    nodes, vectors = eigh_tridiagonal(diagonal, beside)
    vectors = vectors * np.where(vectors[0] < 0, -1.0, 1.0)
    return nodes, vectors[0], vectors.T
