"""What an operator is: a formula, its slow and plain meaning, and the jets that estimate it."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, NamedTuple, TypeAlias

import equinox as eqx
import jax
from jaxtyping import Array, Float, PyTree

from stde_cli.autodiff.directions import AbstractDirections, AbstractSampler
from stde_cli.problem.operators.known import KnowsLaplacian
from stde_cli.system.types import Point, PRNGKey, Scalar, ScalarField

Span: TypeAlias = tuple[int, int] | None
"""The coordinates start ... stop - 1 that an operator acts on; None: all of them."""


class Jets(NamedTuple):
    """factor * sum_k weights[k] (D^|powers| u (v_k1, ..., v_kT))^degree.

    The derivative takes powers[m] copies of v_km. Every estimate here has this form, with random
    directions and weights.
    """

    directions: AbstractDirections
    """r sets of T directions, stacked along a leading axis. Their own weights are not read."""
    weights: Float[Array, " sets"]
    """Of the sets in the sum, as the operator makes them of the weights drawn with directions."""
    powers: tuple[int, ...]
    factor: Scalar | float = 1.0
    degree: int = 1
    signed: bool = False
    """Whether weights may be negative."""


class AbstractOperator(eqx.Module):
    """A differential operator. It says what is computed; an estimator decides from which draws.

    Linear unless its class says otherwise.
    """

    in_one_pass: ClassVar[bool] = False
    """Whether `exact` is one reverse pass, O(dim) as the field itself: nothing is sampled then."""

    @abstractmethod
    def exact(self, field: ScalarField, x: Point) -> Scalar:
        """The operator applied to `field` at x, by nested derivatives: slow, and the oracle."""

    def of_known(
        self, known: KnowsLaplacian, x: Point, rest: ScalarField | None = None
    ) -> tuple[Scalar, Scalar] | None:
        """known(x), and this operator of rest + known less that of rest, exactly.

        None where that takes more than gradients and a Laplacian.
        """
        return None

    @abstractmethod
    def draw(self, sampler: AbstractSampler, batch: int, dim: int, *, key: PRNGKey) -> PyTree:
        """What is random in an estimate, whatever the point: drawn once a step.

        Raises:
            ValueError: directions from `sampler` cannot represent this operator.
        """

    @abstractmethod
    def jets(self, x: Point, drawn: PyTree) -> tuple[Jets, ...]:
        """Jets whose readings add up to an unbiased estimate at x."""


def extent(span: Span, dim: int) -> range:
    """The coordinates of `span` in R^dim."""
    return range(dim) if span is None else range(*span)


def draw_together(
    operators: Sequence[AbstractOperator],
    sampler: AbstractSampler,
    batch: int,
    dim: int,
    *,
    key: PRNGKey,
) -> list[PyTree]:
    """What each operator draws: those whose draws are alike in shape share theirs.

    One restriction then serves all that are read along the same directions. Others draw
    independently.

    Raises:
        ValueError: directions from `sampler` cannot represent one of the operators.
    """
    draws = [partial(o.draw, sampler, batch, dim) for o in operators]
    found = [jax.tree.flatten(eqx.filter_eval_shape(draw, key=key)) for draw in draws]
    kinds = [(structure, *leaves) for leaves, structure in found]
    drawing = list(dict.fromkeys(kind for kind in kinds if len(kind) > 1))
    keys = jax.random.split(key, len(drawing)) if len(drawing) > 1 else [key] * len(drawing)
    key_of = dict(zip(drawing, keys, strict=True))
    return [draw(key=key_of.get(kind, key)) for draw, kind in zip(draws, kinds, strict=True)]


def draw_within(
    span: Span,
    sampler: AbstractSampler,
    batch: int,
    dim: int,
    *,
    sizes: Float[Array, " span"] | None = None,
    key: PRNGKey,
) -> AbstractDirections:
    """`batch` directions in the coordinates of `span`; as many as there are, if they are fewer."""
    over = extent(span, dim)
    drawn = sampler(len(over), min(batch, len(over)), sizes=sizes, key=key)
    return drawn if span is None else drawn.embedded(over, dim)


def hessian_within(field: ScalarField, x: Point, span: Span) -> Float[Array, "span span"]:
    """Second derivatives in the coordinates of `span`, by nested derivatives."""
    over = extent(span, x.size)
    return jax.hessian(lambda y: field(x.at[over.start : over.stop].set(y)))(
        x[over.start : over.stop]
    )


def gradient_within(field: ScalarField, x: Point, span: Span) -> Float[Array, " span"]:
    over = extent(span, x.size)
    return jax.grad(field)(x)[over.start : over.stop]


def derivative_along(field: ScalarField, vectors: Float[Array, "order dim"]) -> ScalarField:
    """D^order field (v_1, ..., v_order) as a function of the point, by nested `jax.jvp`."""
    for vector in vectors:
        field = _slope(field, vector)
    return field


def _slope(field: ScalarField, vector: Point) -> ScalarField:
    return lambda x: jax.jvp(field, (x,), (vector,))[1]
