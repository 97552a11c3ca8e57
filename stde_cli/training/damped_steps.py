"""The step d of least |r + J d|^2 + damping |d|^2, in three ways that differ in rounding alone.

Two need J: the system is as large as there are parameters, or as there are residuals. By Cholesky's
decomposition: the digits that the squares of singular values lose are below a damping that is of
use, and what a step leaves of the residuals is the next one's. The third needs products by J alone.
"""

from abc import abstractmethod
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Float

from stde_cli.system.types import Parameters, Scalar
from stde_cli.training.least_squares import gauss_newton
from stde_cli.training.residuals import Residuals

_TOLERANCE = 1e-12

Unknowns: TypeAlias = Float[Array, " unknowns"]
Rows: TypeAlias = Float[Array, " rows"]


class AbstractDampedStep(eqx.Module):
    """Steps from some parameters, for any damping; parameters stand one after another."""

    residuals: eqx.AbstractVar[Rows]

    @abstractmethod
    def image(self, step: Unknowns) -> Rows:
        """J d."""

    @abstractmethod
    def slope(self) -> Unknowns:
        """J^T r."""

    @abstractmethod
    def __call__(self, damping: Scalar) -> Unknowns:
        """d; not a number where rounding is larger than the damping."""

    def promised(self, step: Unknowns) -> Scalar:
        """What the linear model says of the sum of squares after a step."""
        return jnp.sum((self.residuals + self.image(step)) ** 2)


class InParameters(AbstractDampedStep):
    """d = -(J^T J + damping)^-1 J^T r."""

    residuals: Rows
    slopes: Float[Array, "rows unknowns"]
    gram: Float[Array, "unknowns unknowns"]

    def __init__(self, residuals: Residuals, at: Parameters):
        self.residuals, self.slopes = residuals.linearised(at)
        self.gram = self.slopes.T @ self.slopes

    def image(self, step: Unknowns) -> Rows:
        return self.slopes @ step

    def slope(self) -> Unknowns:
        return self.residuals @ self.slopes

    def __call__(self, damping: Scalar) -> Unknowns:
        return -_solved(self.gram, damping, self.slope())


class InSamples(AbstractDampedStep):
    """d = -J^T (J J^T + damping)^-1 r: the kernel form."""

    residuals: Rows
    slopes: Float[Array, "rows unknowns"]
    gram: Float[Array, "rows rows"]

    def __init__(self, residuals: Residuals, at: Parameters):
        self.residuals, self.slopes = residuals.linearised(at)
        self.gram = self.slopes @ self.slopes.T

    def image(self, step: Unknowns) -> Rows:
        return self.slopes @ step

    def slope(self) -> Unknowns:
        return self.residuals @ self.slopes

    def __call__(self, damping: Scalar) -> Unknowns:
        return -(_solved(self.gram, damping, self.residuals) @ self.slopes)


class MatrixFree(AbstractDampedStep):
    """By conjugate gradients, at most `iterations` a step; J is never there."""

    residuals: Rows
    function: Residuals
    at: Parameters
    iterations: int = eqx.field(static=True)

    def __init__(self, residuals: Residuals, at: Parameters, iterations: int):
        self.residuals, self.function, self.at = residuals(at), residuals, at
        self.iterations = iterations

    def image(self, step: Unknowns) -> Rows:
        _, unravel = ravel_pytree(self.at)
        return jax.jvp(self.function, (self.at,), (unravel(step),))[1]

    def slope(self) -> Unknowns:
        _, pull = jax.vjp(self.function, self.at)
        return ravel_pytree(pull(self.residuals)[0])[0]

    def __call__(self, damping: Scalar) -> Unknowns:
        at, unravel = ravel_pytree(self.at)

        def damped(parameters: Parameters) -> tuple[Rows, Unknowns]:
            away = ravel_pytree(parameters)[0] - at
            return self.function(parameters), jnp.sqrt(damping) * away

        # The key is that of probes for a preconditioner, which may be the same at all steps.
        found = gauss_newton(
            damped, unravel(at), self.iterations, tolerance=_TOLERANCE, key=jax.random.key(0)
        )
        return ravel_pytree(found)[0] - at


def _solved(
    gram: Float[Array, "n n"], damping: Scalar, right: Float[Array, " n"]
) -> Float[Array, " n"]:
    return cho_solve(cho_factor(gram + damping * jnp.eye(len(gram), dtype=gram.dtype)), right)
