"""How accurately a plan reads derivatives: its relative error on a small network.

High orders are small differences of large numbers, or large numbers divided by larger ones, so
that rounding grows with the plan. How much depends little on the function: one network stands for
all of them. It is drawn once, from a fixed seed, and its weights are single precision numbers, so
that every precision computes the same function.

The reference shares nothing with the plan or with `push`: power series over the box of
multi-indices below one partial, where y = tanh(z) follows from y' = (1 - y^2) z' coefficient by
coefficient (Griewank and Walther, "Evaluating Derivatives", 2008, table 13.2), in NumPy's longest
floating point type. Nested `jax.jvp` says the same up to where it can be waited for: minutes, at
order 12.
"""

from itertools import pairwise, product
from math import factorial, prod
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from stde_cli.autodiff.taylor.derivatives import execute
from stde_cli.autodiff.taylor.partitions import Index
from stde_cli.autodiff.taylor.pushes import Plan
from stde_cli.system.types import Scalar

_WIDTH, _DEPTH, _POINTS = 32, 3, 8

MOST_PRODUCTS = 15_000
"""A plan of more products would take longer than a user of the command line waits."""

Weights: TypeAlias = list[np.ndarray]


def relative_errors(plan: Plan) -> dict[str, dict[Index, float]]:
    """For float32 and float64, the error of each reading of `plan`.

    Errors are the largest of |plan - reference| over a few fixed points, over the root mean square
    of the reference there. JAX's own precision is as it was, afterwards.
    """
    wanted = [reading.derivative for reading in plan.readings]
    weights, points = probe(len(wanted[0]))
    references = {q: reference(weights, points, q) for q in wanted}
    return {
        name: _errors(plan, weights, points, references, double)
        for name, double in (("float32", False), ("float64", True))
    }


def probe(dim: int) -> tuple[Weights, np.ndarray]:
    """The weights of a tanh network on R^dim (LeCun normal, no biases), and points of [-1, 1]^dim.

    float64 arrays of float32 numbers.
    """
    random = np.random.default_rng(0)
    sizes = [dim, *[_WIDTH] * (_DEPTH - 1), 1]
    weights = [
        random.normal(size=(rows, columns)) / columns**0.5 for columns, rows in pairwise(sizes)
    ]
    points = random.uniform(-1, 1, size=(_POINTS, dim))
    *weights, points = (a.astype(np.float32).astype(np.float64) for a in (*weights, points))
    return weights, points


def reference(weights: Weights, points: np.ndarray, derivative: Index) -> np.ndarray:
    """The partial of the network at each point, by power series of its own."""
    zero = (0,) * len(derivative)
    series = np.zeros((*(count + 1 for count in derivative), *points.shape), np.longdouble)
    series[zero] = points
    for k in (k for k, count in enumerate(derivative) if count):
        series[_unit(k, len(derivative))][:, k] = 1
    first, *rest = weights
    z = series @ first.T
    for weight in rest:
        z = _tanh(z, len(derivative)) @ weight.T
    return (z[derivative][:, 0] * prod(map(factorial, derivative))).astype(np.float64)


def _tanh(z: np.ndarray, unknowns: int) -> np.ndarray:
    """The series of tanh: a_k y_a = sum_b b_k z_b w_{a-b} with w = 1 - y^2, for any a_k > 0."""
    zero = (0,) * unknowns
    y, w = np.zeros_like(z), np.zeros_like(z)
    y[zero] = np.tanh(z[zero])
    w[zero] = 1 - y[zero] ** 2
    axes = tuple(range(unknowns))
    for a in product(*map(range, z.shape[:unknowns])):
        if a == zero:
            continue
        k = next(k for k, count in enumerate(a) if count)
        below = tuple(slice(count + 1) for count in a)
        counts = np.arange(a[k] + 1).reshape([-1 if j == k else 1 for j in range(z.ndim)])
        y[a] = np.sum(counts * z[below] * np.flip(w[below], axes), axes) / a[k]
        w[a] = -np.sum(y[below] * np.flip(y[below], axes), axes)
    return y


def _unit(k: int, unknowns: int) -> Index:
    return tuple(int(j == k) for j in range(unknowns))


def _errors(
    plan: Plan, weights: Weights, points: np.ndarray, references: dict[Index, np.ndarray], double
) -> dict[Index, float]:
    functionals = [{q: 1.0} for q in references]
    with jax.enable_x64(double), jax.default_matmul_precision("highest"):
        layers = [jnp.asarray(weight, float) for weight in weights]

        def read(x: jax.Array) -> tuple[Scalar, ...]:
            return execute(plan, lambda s: _network(layers, x + s), functionals)[1]

        # Not compiled: that would take longer than it saves.
        found = [np.asarray(v, np.float64) for v in jax.vmap(read)(jnp.asarray(points, float))]
    return {
        q: float(np.max(np.abs(values - exact)) / np.sqrt(np.mean(exact**2)))
        for values, (q, exact) in zip(found, references.items(), strict=True)
    }


def _network(layers: list[jax.Array], x: jax.Array) -> Scalar:
    first, *rest = layers
    z = first @ x
    for weight in rest:
        z = weight @ jnp.tanh(z)
    return z[0]
