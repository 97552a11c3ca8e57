"""Problems that are linear in u, and those that the transform of Cole and Hopf makes linear."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from stde_cli.problem.references.processes import AbstractProcess, process_of
from stde_cli.problem.references.structure import Structure
from stde_cli.system.types import Point, Scalar, ScalarField


class Linear(NamedTuple):
    """w_s = generator of a process, of w, + c w + f; w(0, x) = data(x)."""

    process: AbstractProcess
    data: ScalarField
    c: Callable[[Scalar, Point], Scalar]
    f: Callable[[Scalar, Point], Scalar]


class Transform(NamedTuple):
    """u = shift - log(w) / factor, or u = w where the factor is 0."""

    factor: float = 0.0
    shift: float = 0.0

    def back(self, w: float, error: float) -> tuple[float, float]:
        """u and its error, of w and its."""
        if self.factor == 0:
            return w, error
        return self.shift - np.log(w) / self.factor, abs(error / (self.factor * w))


def linear(structure: Structure) -> tuple[Linear, Transform] | None:
    """The linear problem, and how its solution gives u; None where there is none.

    If u_s = a Laplacian(u) + b . grad u - lambda |grad u|^2 + f, then w = exp(-lambda u / a) has
    w_s = a Laplacian(w) + b . grad w - lambda f w / a (Hopf 1950, Cole 1951).
    """
    found, tried = process_of(structure), structure.tried
    if found is None or found[1] is structure.problem or not structure.affine:
        return None
    process, problem = found

    def reaction(u: Scalar, s: Scalar, x: Point) -> Scalar:
        nothing = jnp.zeros(problem.velocities(s, x).shape[0], x.dtype)
        return problem.reaction(s, x, u, jnp.zeros_like(u), nothing)

    def f(s: Scalar, x: Point) -> Scalar:
        return reaction(jnp.zeros_like(s), s, x)

    def c(s: Scalar, x: Point) -> Scalar:
        return jax.grad(reaction)(jnp.zeros_like(s), s, x)

    if not np.any(tried.in_square):
        return Linear(process, problem.data, c, f), Transform()
    a = structure.isotropic
    if a is None or np.any(tried.in_u) or not structure.same(tried.in_square):
        return None
    factor, shift = -float(tried.in_square[0]) / a, float(np.median(tried.data))
    transformed = Linear(
        process,
        lambda x: jnp.exp(-factor * (problem.data(x) - shift)),
        lambda s, x: -factor * f(s, x),
        lambda s, x: jnp.zeros_like(s),
    )
    return transformed, Transform(factor, shift)
