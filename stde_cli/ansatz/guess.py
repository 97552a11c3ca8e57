"""What is known of the solution before training: found from the PDE's own data by a start."""

from operator import add

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stde_cli.ansatz.ridge import RidgePolynomials
from stde_cli.ansatz.windows import WindowPolynomials
from stde_cli.autodiff.directions import AbstractDirections
from stde_cli.problem.constraints import AbstractConstraint
from stde_cli.problem.operators import Triple
from stde_cli.system.types import Point, RestrictedField, Scalar


class Guess(eqx.Module):
    """powers[0] + powers[1] * constraint(x) + polynomials(x) + ridge(x), to be multiplied by the
    constraint.

    In a ball the first two are the radial part of a solution, which a network of fixed width holds
    badly: |x|^2 has rank dim.
    """

    powers: Float[Array, "2"]
    constraint: AbstractConstraint
    polynomials: WindowPolynomials
    ridge: RidgePolynomials | None = None

    def __call__(self, x: Point) -> Scalar:
        u = self._radial(self.constraint(x)) + self.polynomials(x)
        return u if self.ridge is None else u + self.ridge(x)

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        constraint = self.constraint.restrict(x, directions)
        polynomials = self.polynomials.restrict(x, directions)
        if self.ridge is None:
            return lambda s: self._radial(constraint(s)) + polynomials(s)
        ridge = self.ridge.restrict(x, directions)
        return lambda s: self._radial(constraint(s)) + polynomials(s) + ridge(s)

    def value_gradient_laplacian(self, x: Point, over: range) -> Triple:
        c, slopes, curvature = self.constraint.value_gradient_laplacian(x, over)
        p, more_slopes, more_curvature = self.polynomials.value_gradient_laplacian(x, over)
        factor = self.powers[1]
        found = (
            self._radial(c) + p,
            factor * slopes + more_slopes,
            factor * curvature + more_curvature,
        )
        if self.ridge is None:
            return found
        of_ridge = self.ridge.value_gradient_laplacian(x, over)
        return jax.tree.map(add, found, of_ridge)

    def _radial(self, constraint: Scalar) -> Scalar:
        return self.powers[0] + self.powers[1] * constraint


def no_guess(constraint: AbstractConstraint) -> Guess:
    """Zero."""
    return Guess(jnp.zeros(2), constraint, WindowPolynomials(range(0), window=1, degree=0))
