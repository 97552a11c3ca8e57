"""Oracles that are slow and plainly right, and small things to hold them against."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from stde_cli.ansatz.guess import Guess, no_guess
from stde_cli.ansatz.hard_constraint import HardConstraint
from stde_cli.ansatz.networks import MLP, AdditiveMLP, WeightSharing
from stde_cli.ansatz.networks.mlp import Activation
from stde_cli.ansatz.windows import WindowPolynomials
from stde_cli.autodiff.directions import AbstractSampler, CoordinateDirections, DenseDirections
from stde_cli.problem.constraints import AbstractConstraint, VanishOnSphere
from stde_cli.problem.pdes import (
    AbstractManufactured,
    AllenCahn,
    Poisson,
    SineGordon,
    ThreeBody,
    TwoBody,
)
from stde_cli.system.prng import make_key
from stde_cli.system.types import Point, Scalar

NetworkKind = Literal["mlp", "weight_sharing", "additive_mlp"]
EQUATIONS = (Poisson, AllenCahn, SineGordon)
SOLUTIONS = (TwoBody, ThreeBody)


def laplacian(field: Callable[[Any], Any], x: Point) -> Scalar:
    """The trace of the Hessian by nested derivatives, in float64 or not at all."""
    assert x.dtype == jnp.float64, "the oracle is asked in single precision"
    return jnp.trace(jax.hessian(field)(x))


def tree_allclose(actual: Any, expected: Any, *, rtol: float = 1e-7, atol: float = 0.0) -> bool:
    """Same structure, same types, shapes and dtypes, and entries close to each other."""
    actual_leaves, actual_structure = jax.tree.flatten(actual)
    expected_leaves, expected_structure = jax.tree.flatten(expected)
    if actual_structure != expected_structure:
        return False
    return all(map(_leaf_allclose(rtol, atol), actual_leaves, expected_leaves))


def _leaf_allclose(rtol: float, atol: float) -> Callable[[Any, Any], bool]:
    def close(a: Any, b: Any) -> bool:
        if isinstance(a, jax.Array | np.ndarray) != isinstance(b, jax.Array | np.ndarray):
            return False
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if not np.issubdtype(a.dtype, np.inexact):
            return bool(np.all(a == b))
        return np.allclose(a, b, rtol=rtol, atol=atol)

    return close


def relative_difference(actual: Any, expected: Any) -> float:
    """The largest difference, against the largest magnitude expected."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    return float(np.max(np.abs(actual - expected)) / np.max(np.abs(expected)))


def filled(make: Callable[[], Any], *, scale: float = 0.5, seed: int = 0) -> Any:
    """What `make` would make, every array filled with noise, so that biases are not zero.

    Nothing is compiled: the shapes are found abstractly and the numbers come from NumPy.
    """
    generator = np.random.default_rng(seed)

    def fill(leaf: Any) -> Any:
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        return jnp.asarray(scale * generator.standard_normal(leaf.shape), leaf.dtype)

    return jax.tree.map(fill, eqx.filter_eval_shape(make))


def random_network(
    dim: int,
    kind: NetworkKind = "mlp",
    *,
    width: int = 7,
    depth: int = 3,
    block_size: int = 2,
    window: int = 2,
    degree: int = 3,
    activation: Activation = "tanh",
    seed: int = 0,
) -> Any:
    """A small network with random weights and biases."""
    options: dict[str, Any] = {"width": width, "depth": depth, "activation": activation}
    if kind == "weight_sharing":
        options["block_size"] = block_size
    if kind == "additive_mlp":
        options |= {"window": window, "degree": degree}
    make = {"mlp": MLP, "weight_sharing": WeightSharing, "additive_mlp": AdditiveMLP}[kind]
    return filled(lambda: make(dim, **options, key=make_key(0)), seed=seed)


def random_ansatz(
    dim: int,
    kind: NetworkKind = "mlp",
    *,
    radius: float = 1.3,
    seed: int = 0,
    **options: Any,
) -> HardConstraint:
    """A random network times radius^2 - |x|^2."""
    return HardConstraint(random_network(dim, kind, seed=seed, **options), VanishOnSphere(radius))


def random_guess(
    constraint: AbstractConstraint,
    family: range,
    *,
    single: Sequence[int] = (),
    window: int = 2,
    degree: int = 3,
    seed: int = 3,
) -> Guess:
    """A guess, all of whose coefficients differ from zero."""

    def make() -> Guess:
        polynomials = WindowPolynomials(family, single=single, window=window, degree=degree)
        return Guess(jnp.zeros(2), constraint, polynomials)

    guess = filled(make, seed=seed)
    return eqx.tree_at(lambda g: g.constraint, guess, constraint)


def constant_guess(constraint: AbstractConstraint, value: float) -> Guess:
    guess = no_guess(constraint)
    return eqx.tree_at(lambda g: g.powers, guess, guess.powers.at[0].set(value))


def random_pde(
    dim: int,
    equation: type[AbstractManufactured] = SineGordon,
    solution: Callable[..., Any] = TwoBody,
    *,
    radius: float = 1.0,
    seed: int = 1,
) -> AbstractManufactured:
    return equation(dim, radius=radius, solution=solution, key=make_key(seed))


def point_inside(dim: int, *, seed: int = 2, length: float = 0.6) -> Point:
    x = np.random.default_rng(seed).standard_normal(dim)
    return jnp.asarray(length * x / np.linalg.norm(x), jnp.result_type(float))


def coordinate_directions(
    indices: Sequence[int],
    lengths: Sequence[float] | None = None,
    weights: Sequence[float] | None = None,
) -> CoordinateDirections:
    """Coordinate directions by hand; whether they are distinct is read off the indices."""
    ones = [1.0] * len(indices)
    return CoordinateDirections(
        jnp.array(indices),
        jnp.array(lengths or ones),
        jnp.array(weights or ones),
        distinct=len(set(indices)) == len(indices),
    )


def dense_matrix(directions: CoordinateDirections | DenseDirections, dim: int) -> np.ndarray:
    """V with a direction in each row, written out."""
    if isinstance(directions, DenseDirections):
        return np.asarray(directions.vectors)
    rows = np.zeros((directions.indices.size, dim))
    rows[np.arange(len(rows)), directions.indices] = directions.lengths
    return rows


def jaxpr_shapes(jaxpr: Any) -> Iterator[tuple[int, ...]]:
    """The shape of every value in a jaxpr and in the jaxprs inside it."""
    for equation in jaxpr.eqns:
        for value in (*equation.invars, *equation.outvars):
            yield tuple(getattr(value.aval, "shape", ()))
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_jaxpr):
            if _is_jaxpr(inner):
                yield from jaxpr_shapes(getattr(inner, "jaxpr", inner))


def _is_jaxpr(value: object) -> bool:
    return hasattr(value, "eqns")


def all_draws(sampler: AbstractSampler, dim: int, batch: int, *, outcomes: int) -> Any:
    """Every outcome of a sampler once, stacked; to be used where all are equally probable.

    Outcomes are told apart by what they estimate: the order of a draw is of no account. That the
    samplers draw each of them, and evenly, is for their own tests to show.
    """
    keys = jax.random.split(make_key(100), 40 * outcomes)
    drawn = jax.jit(jax.vmap(lambda key: sampler(dim, batch, key=key)))(keys)
    rows = np.asarray(drawn.vectors if isinstance(drawn, DenseDirections) else drawn.indices)
    if getattr(drawn, "distinct", False):
        rows = np.sort(rows, axis=1)
    _, first = np.unique(rows.reshape(len(rows), -1), axis=0, return_index=True)
    assert len(first) == outcomes
    return jax.tree.map(lambda leaf: leaf[first], drawn)
