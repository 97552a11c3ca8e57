"""What the loss of a step is a sum of squares of, as a function of what is trained."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from stde_cli.objective.losses import Squares
from stde_cli.system.types import Parameters, Point, Scalar
from stde_cli.training.linearisation import values_and_slopes


class Residuals(eqx.Module):
    """Residuals of the equation and the conditions; the sum of their squares is the loss.

    Args:
        parts: the squares of each, and the weight of their sum.
        static: what is not trained.
    """

    parts: tuple[tuple[Squares, Scalar], ...]
    static: PyTree

    def __call__(self, parameters: Parameters) -> Float[Array, " residuals"]:
        found = []
        for squares, weight in self.parts:
            values = jax.vmap(lambda x, s=squares: self._terms(s, parameters, x))(squares.points)
            found.append(jnp.sqrt(weight) * values.ravel())
        return jnp.concatenate(found)

    def linearised(
        self, parameters: Parameters
    ) -> tuple[Float[Array, " residuals"], Float[Array, "residuals unknowns"]]:
        """The residuals, and their derivatives in the parameters one after another."""
        at, unravel = ravel_pytree(parameters)
        found, rows = [], []
        for squares, weight in self.parts:

            def terms(unknowns: Array, x: Point, squares: Squares = squares) -> Array:
                return self._terms(squares, unravel(unknowns), x)

            values, slopes = values_and_slopes(terms, at, squares.points)
            found.append(jnp.sqrt(weight) * values.ravel())
            rows.append(jnp.sqrt(weight) * slopes.reshape(-1, at.size))
        return jnp.concatenate(found), jnp.concatenate(rows)

    def _terms(self, squares: Squares, parameters: Parameters, x: Point) -> Array:
        return ravel_pytree(squares.terms(eqx.combine(parameters, self.static), x))[0]
