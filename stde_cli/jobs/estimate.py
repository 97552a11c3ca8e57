"""The estimator for functions of anybody's: an expression in u and its derivatives, at points."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from stde_cli.autodiff.directions import AbstractSampler, Importance
from stde_cli.estimators import STDE, draw_operators, read_operators
from stde_cli.expressions import Layout, parse
from stde_cli.expressions.layout import Part
from stde_cli.problem.pdes.equation import Equation
from stde_cli.problem.pdes.symbolic import parameter
from stde_cli.system.errors import UsageError
from stde_cli.system.types import Point, Points, PRNGKey, Scalar, ScalarField


class Estimate(NamedTuple):
    """An estimate and its standard error, numbers or one of each for every point."""

    value: Float[Array, "..."]
    standard_error: Float[Array, "..."]


def estimate(
    expression: str,
    field: ScalarField,
    x: ArrayLike,
    *,
    dim: int | None = None,
    coordinates: Sequence[Part] | None = None,
    parameters: Mapping[str, Any] | None = None,
    directions: int = 16,
    draws: int = 16,
    sampler: AbstractSampler | None = None,
    key: PRNGKey,
) -> Estimate:
    """Estimate an expression in u and its derivatives, for any JAX function u.

    Sums over coordinates, such as a Laplacian, are read along random directions; partial
    derivatives in named coordinates are exact. The estimate is made of `draws` independent draws of
    `directions` directions each. Its standard error, and where the expression is not linear in what
    is sampled the correction of its bias, are those of the delete-one jackknife over the draws
    (Quenouille 1956, Tukey 1958): without bias for expressions of degree one and two, and with a
    bias of order 1/draws^2 for others, where the error is of order 1/sqrt(draws).

    Only arrays are traced: it may be called within `jax.jit`, `grad` and `vmap`, with a field, x
    and key of theirs. Called outside, it is compiled once for an expression, field and shape.

    Args:
        expression: in the language of residuals: "laplacian(u) + u", "u_x1x1x2", "grad_norm2(u)".
            Where coordinates are named, a coordinate t is time: no Laplacian or gradient is in it.
        field: u, from a point of shape (dim,) to a scalar. Anything that JAX can trace; a module
            with a `restrict` method is cheaper.
        x: a point of shape (dim,), or points of shape (points, dim). Points share their directions,
            so their errors are correlated.
        dim: how many coordinates a point has: that of x, which it is held against.
        coordinates: what they are called, in order: names, and at most one (name, count) for a
            family of numbered ones, as in ("t", ("x", 100)). By default x1, x2, ...
        parameters: numbers, vectors and matrices that the expression names.
        directions: how many a draw has; where it has every coordinate, nothing is left to chance.
        draws: how many independent draws, 2 or more.
        sampler: where directions come from, `Importance()` by default.
        key: a key of `jax.random`.

    Raises:
        UsageError: the expression is not of the language, the sampler cannot represent it, or
            arguments do not fit together. `ExpressionError`, with a caret, for a fault in the text.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import stde_cli as stde
        >>> x = jnp.linspace(0, 1, 1000)
        >>> value, error = stde.estimate(
        ...     "laplacian(u) + u", lambda x: jnp.sum(x**4), x, dim=1000, key=jax.random.key(0)
        ... )
        >>> bool(abs(value - (12 * jnp.sum(x**2) + jnp.sum(x**4))) < 4 * error)
        True
    """
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        x = x.astype(float)
    if x.ndim not in (1, 2):
        mend = "give a point of shape (dim,) or points of shape (points, dim)"
        raise UsageError("x", None, f"has shape {x.shape}", mend)
    layout = _layout(x.shape[-1], dim, coordinates)
    for name, count, least in (("directions", directions, 1), ("draws", draws, 2)):
        if count < least:
            raise UsageError(name, count, f"must be {least} or more")
    values = {
        name: parameter(f"parameters.{name}", value) for name, value in (parameters or {}).items()
    }
    node = parse(expression, layout, values, where="expression", allow=frozenset("u"))
    equation = Equation(node, layout, values, where="expression")
    _check_field(field, x[0] if x.ndim == 2 else x)
    estimator = STDE(Importance() if sampler is None else sampler, directions)
    try:
        chance = eqx.filter_eval_shape(
            draw_operators, estimator, equation.operators, layout.dim, key=key
        )
    except ValueError as error:
        raise UsageError("sampler", type(estimator.sampler).__name__, str(error)) from error
    # What draws nothing is the same every time.
    draws = draws if jax.tree.leaves(chance) else 1
    try:
        value, standard_error = _estimate(equation, estimator, field, jnp.atleast_2d(x), draws, key)
    except ValueError as error:
        raise UsageError("field", None, str(error)) from error
    return Estimate(value, standard_error) if x.ndim == 2 else Estimate(value[0], standard_error[0])


@eqx.filter_jit
def _estimate(
    equation: Equation, estimator: STDE, field: ScalarField, x: Points, draws: int, key: PRNGKey
) -> tuple[Float[Array, " points"], Float[Array, " points"]]:
    operators = equation.operators

    def one(key: PRNGKey) -> dict[str, Float[Array, " points"]]:
        drawn = draw_operators(estimator, operators, x.shape[1], key=key)
        return jax.vmap(lambda x: dict(read_operators(estimator, field, operators, x, drawn)[1]))(x)

    def combine(x: Point, derivatives: Mapping[str, Float[Array, " draws"]]):
        return _jackknife(equation, x, field(x), derivatives, draws)

    # Draws one after another: memory is that of a single one.
    return jax.vmap(combine, in_axes=(0, 1))(x, lax.map(one, jax.random.split(key, draws)))


def _jackknife(
    equation: Equation,
    x: Point,
    u: Scalar,
    derivatives: Mapping[str, Float[Array, " draws"]],
    draws: int,
) -> tuple[Scalar, Scalar]:
    """The expression of the draws' means, without its bias, and the standard error."""
    means = {name: jnp.mean(values) for name, values in derivatives.items()}
    value = equation(x, u, means)
    if draws == 1:
        return value, jnp.zeros_like(value)
    others = {
        name: means[name] + (means[name] - values) / (draws - 1)
        for name, values in derivatives.items()
    }
    without_one = jax.vmap(lambda derivatives: equation(x, u, derivatives))(others)
    centre = jnp.mean(without_one)
    if equation.nonlinear_in:
        value = value + (draws - 1) * (value - centre)
    return value, jnp.sqrt((draws - 1) / draws * jnp.sum((without_one - centre) ** 2))


def _layout(width: int, dim: int | None, coordinates: Sequence[Part] | None) -> Layout:
    layout = Layout((("x", width),) if coordinates is None else tuple(coordinates))
    for where, named in (("dim", dim), ("coordinates", layout.dim)):
        if named is not None and named != width:
            raise UsageError(where, named, f"a point of x has {width} coordinates")
    return layout


def _check_field(field: ScalarField, x: Point) -> None:
    found = eqx.filter_eval_shape(field, x)
    if getattr(found, "shape", None) != ():
        shape = getattr(found, "shape", type(found).__name__)
        raise UsageError("field", None, f"gives {shape} at a point", "return a scalar")
