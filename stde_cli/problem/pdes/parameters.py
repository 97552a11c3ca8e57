"""Arrays for the parameters of a PDE, by a seed of their own: the same for every run."""

import numpy as np
from jaxtyping import Float, Int

from stde_cli.system.ranges import AtLeastOne, Count, MatrixSize, Positive, ProperFraction, Seed


def normal(shape: Count | list[Count], seed: Seed = 0) -> Float[np.ndarray, "..."]:
    """Independent standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape)


def permutation(count: Count, seed: Seed = 0) -> Int[np.ndarray, " count"]:
    """The numbers 1 to `count` in random order: an index list, as p of x[p[i]]."""
    return np.random.default_rng(seed).permutation(count) + 1


def positive_definite(
    dim: MatrixSize, condition: AtLeastOne = 10.0, seed: Seed = 0
) -> Float[np.ndarray, "dim dim"]:
    """A full symmetric matrix; its eigenvalues lie evenly on a log scale from 1/condition to 1."""
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))
    eigenvalues = np.logspace(-np.log10(condition), 0, dim)
    return (rotation * eigenvalues) @ rotation.T


def repeated(values: list[float], count: Count) -> Float[np.ndarray, " count"]:
    """The values over and over, up to `count` of them: 1, 0.5, 1, 0.5, ..."""
    return np.resize(np.asarray(values, float), count)


def equicorrelated(
    dim: Count, std: Positive, correlation: ProperFraction, root: bool = False
) -> Float[np.ndarray, "dim dim"]:
    """The covariance of `dim` numbers of one standard deviation, any two alike correlated.

    Or its symmetric root, by which independent noise becomes such noise.
    """
    apart, together = 1 - correlation, 1 - correlation + correlation * dim
    if not root:
        return std**2 * (apart * np.eye(dim) + correlation)
    return std * (np.sqrt(apart) * np.eye(dim) + (np.sqrt(together) - np.sqrt(apart)) / dim)
