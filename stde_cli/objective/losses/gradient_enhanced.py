import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from stde_cli.autodiff.directions import (
    AbstractDirections,
    CoordinateDirections,
    Stratified,
    joined,
)
from stde_cli.autodiff.restriction import restrict
from stde_cli.objective.losses.base import AbstractSumOfSquares, Squares
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.domains import AbstractDomain
from stde_cli.problem.operators import (
    KnowsLaplacian,
    Partial,
    PartlyKnown,
    differentiated,
    partial_sum,
)
from stde_cli.system.ranges import Count, NonNegative
from stde_cli.system.types import (
    Point,
    Points,
    PRNGKey,
    RestrictedField,
    Scalar,
    ScalarField,
    Values,
)

_FEW_COORDINATES = 6
"""Beyond, a derivative of every operator in every coordinate costs more than a reverse pass."""


class GradientEnhanced(AbstractSumOfSquares):
    """mean R^2 + weight dim/points mean |grad R|^2, with one draw of directions.

    Each point then says something of every coordinate (gPINN: Yu et al. 2022), for one reverse pass
    through the restricted field and the source. The gradient is taken in coordinates of unit
    spread, in which a linear residual has a gradient as large as itself. The residuals of a few
    points in many coordinates press on as many directions as there are points, each dim/points
    times as hard as the gradients press on all: that factor evens them out, so that a weight of 1
    suits every dimension. Where points abound the gradients add little, and count little.

    With `components`, that many of the gradient's components are sampled instead, one from each of
    equal strata, with inverse-probability weights ([STDE] section 5.4). They are derivatives of the
    field restricted to the operator's directions and these coordinates together, so that all
    u_iij, with i an operator's and j a component's coordinate, come from one reverse pass over the
    jets of u_ii. Work that grows with dim is done twice for the source alone, and for that part of
    the field whose derivatives are known.

    Where all operators are partial derivatives in few coordinates, theirs in turn are read beside
    them by one joint plan, and the chain rule does the rest: forward mode alone.
    """

    weight: NonNegative = 1.0
    components: Count | None = eqx.field(static=True, default=None)

    def squares(self, residual: SampledResidual, points: Points, *, key: PRNGKey) -> Squares:
        pde, (count, dim) = residual.pde, points.shape
        draw_key, components_key = (key, key) if self.components is None else jax.random.split(key)
        drawn = residual.draw(key=draw_key)
        sampled = None
        if self.components is not None:
            sampled = Stratified()(dim, min(self.components, dim), key=components_key)
        planned = sampled is None and _is_planned(residual)

        def at(field: ScalarField, x: Point) -> tuple[Scalar, Float[Array, " components"]]:
            if planned:
                return _by_chain_rule(residual, field, x)
            if sampled is None:
                return jax.value_and_grad(lambda y: residual(field, y, drawn))(x)
            directions = sampled

            def along(shift: Float[Array, " components"]) -> Scalar:
                moved = _Moved(field, directions, shift)
                in_part = _MovedInPart(moved) if isinstance(field, PartlyKnown) else moved
                return residual(in_part, directions.displace(x, shift), drawn)

            return jax.value_and_grad(along)(jnp.zeros(directions.indices.size, x.dtype))

        def factors(x: Point) -> Float[Array, " components"]:
            spread = jnp.broadcast_to(pde.domain.spread_at(x), (dim,))
            if sampled is None:
                return spread
            return jnp.sqrt(sampled.weights) * spread[sampled.indices]

        def terms(field: ScalarField, x: Point) -> tuple[Scalar, Float[Array, " components"]]:
            value, gradient = at(field, x)
            size = (self.weight * dim) ** 0.5 / count
            return value / count**0.5, size * factors(x) * gradient

        return Squares(points, terms)


def residual_and_gradient(
    residual: ScalarField, points: Points, domain: AbstractDomain
) -> tuple[Values, Points]:
    """What a sum of squares makes the loss of: residuals and their gradients, scaled."""
    values, gradients = jax.vmap(jax.value_and_grad(residual))(points)
    count, dim = points.shape
    spreads = jax.vmap(lambda x: jnp.broadcast_to(domain.spread_at(x), (dim,)))(points)
    return values / count**0.5, gradients * (dim**0.5 / count * spreads)


def _is_planned(residual: SampledResidual) -> bool:
    few = residual.pde.domain.dim <= _FEW_COORDINATES
    sums = map(partial_sum, residual.pde.operators.values())
    return few and residual.estimator.plans_partials and all(found is not None for found in sums)


def _by_chain_rule(
    residual: SampledResidual, field: ScalarField, x: Point
) -> tuple[Scalar, Float[Array, " dim"]]:
    """R and its gradient, from the operators and their derivatives in every coordinate."""
    pde = residual.pde
    first = {f"u_{j}": Partial((j,)) for j in range(x.size)}
    second = {
        f"{name}_{j}": differentiated(operator, j)
        for name, operator in pde.operators.items()
        for j in range(x.size)
    }
    asked = {**pde.operators, **first, **second}
    u, found = residual.estimator(field, asked, x, None)
    values = {name: found[name] for name in pde.operators}

    def component(j: int) -> tuple[Scalar, Scalar]:
        direction = jnp.zeros_like(x).at[j].set(1)
        slopes = {name: found[f"{name}_{j}"] for name in values}
        return jax.jvp(pde.residual, (x, u, values), (direction, found[f"u_{j}"], slopes))

    pairs = [component(j) for j in range(x.size)]
    return pairs[0][0], jnp.stack([slope for _, slope in pairs])


class _Moved(eqx.Module):
    """A field as a function of how far the point was moved from where the derivative is taken.

    It is asked at the point moved by `shift`, whose value is zero; it restricts the field at the
    point itself, in the directions asked for and those of the shift.
    """

    field: ScalarField
    directions: CoordinateDirections
    shift: Float[Array, " components"]

    def __call__(self, x: Point) -> Scalar:
        return self.field(x)

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        both = joined(directions, self.directions)
        g = restrict(self.field, lax.stop_gradient(x), both)
        return lambda s: g(jnp.concatenate([s, self.shift]))


class _MovedInPart(eqx.Module):
    """A moved field, part of which is known: at the moved point itself, and nothing is sampled."""

    whole: _Moved

    def __call__(self, x: Point) -> Scalar:
        return self.whole(x)

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        return self.whole.restrict(x, directions)

    def split(self) -> tuple[ScalarField, KnowsLaplacian]:
        assert isinstance(self.whole.field, PartlyKnown)
        rest, known = self.whole.field.split()
        return _Moved(rest, self.whole.directions, self.whole.shift), known
