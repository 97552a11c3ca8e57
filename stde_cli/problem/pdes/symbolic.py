"""A PDE from the text of a YAML file."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from stde_cli.expressions import ExpressionError, Field, Layout, Node, fault, parse, split_source
from stde_cli.expressions.algebra import multiply
from stde_cli.problem.constraints import AbstractConstraint, Unconstrained, VanishWhere
from stde_cli.problem.domains import AbstractDomain, Product
from stde_cli.problem.operators import AbstractOperator
from stde_cli.problem.pdes.base import AbstractPDE
from stde_cli.problem.pdes.conditions import AbstractCondition
from stde_cli.problem.pdes.coordinates import space
from stde_cli.problem.pdes.diffusing import diffusing
from stde_cli.problem.pdes.equation import Equation
from stde_cli.problem.pdes.evolution import Time
from stde_cli.problem.pdes.in_time import given_in_time, value_wanted
from stde_cli.problem.pdes.known import known_value
from stde_cli.problem.pdes.periodicity import check_periodic
from stde_cli.problem.pdes.text_condition import TextCondition, condition_from
from stde_cli.problem.tabulated import Samples, Tabulated
from stde_cli.system.errors import UsageError
from stde_cli.system.types import Derivatives, Point, PRNGKey, Scalar, ScalarField, Text


class Symbolic(AbstractPDE):
    """residual(x, u, derivatives of u) = 0, everything given as text.

    Args:
        dim: how many coordinates the family has; where each has a name, or the family a `count`,
            the number of all, which a configuration without `dim` counts.
        coordinates: a name and what it ranges over, in the order of a point's entries: [low, high]
            for one coordinate, {periodic: [low, high]} for one whose ends are the same point, with
            a `count` for a family of them; {ball: radius}, {box: [low, high]} or {gaussian: std}
            for a family x1, x2, ..., of `dim` members or of its `count`. {diffusion: volatility}
            and {geometric: volatility, drift: number} are the whole space, with points where a
            Brownian motion or a geometric one comes that leaves `value_at`, or `from`, at its time.
        residual: the equation, as text that is zero where u solves it. A term - f stands for the
            source.
        parameters: numbers, lists and matrices by name.
        source: f, where it is known as text. Otherwise it is derived from the solution.
        solution: the exact solution, where one is known; or a table of it. In a file also
            {spectral: {}}, {spectral: {error: 1e-8}}, found by Fourier modes, for an equation in t
            and one periodic coordinate; or {file: reference.npz} of your own data.
        constraint: a text that vanishes where u is known; u = lift + constraint * network.
        lift: a text with the known values of u; 0 without it.
        initial: what u is at the lower end of t's range, as text, or {value: text, hold: hard or
            soft, weight, gradient_weight, points}. Hard, u = value + (t - lower end) * network, as
            it is where the text is smooth. Soft, a term of the loss each for values and gradients.
            A `lift` beside the value, equal to it at that time, takes its place at other times.
        terminal: likewise, at the upper end.
        conditions: what else is asked for, each a residual `at` some place with a `weight`.
            `at` maps coordinates to a number or to "boundary"; without it, everywhere.
        value_at: the point at which the value of u is wanted, a number a coordinate; for a family
            one for all its entries, a list, or the name of a parameter.
        reference: the true value there, {value: number, error: number, of: text, when: {name:
            number}}, or a list of them: the first counts whose names have these values, `dim`, the
            coordinates of `value_at` or parameters. It trains nothing.

    Raises:
        UsageError: at the key that is at fault, with a caret under the fault of a text.
    """

    domain: AbstractDomain
    constraint: AbstractConstraint
    operators: dict[str, AbstractOperator]
    solution: ScalarField | None
    equation: Equation
    given_source: ScalarField | None
    known_values: ScalarField | None
    asked: tuple[TextCondition, ...]
    asked_in_time: tuple[AbstractCondition, ...]
    parameters: dict[str, Any]
    in_time: Time | None
    wanted: Float[Array, " dim"] | None
    known_samples: Samples | None
    given_reference: float | None = eqx.field(static=True)
    manufactured: bool = eqx.field(static=True)

    def __init__(
        self,
        dim: int,
        *,
        coordinates: Mapping[str, Any],
        residual: Text,
        parameters: Mapping[str, Any] | None = None,
        source: Text | None = None,
        solution: Text | Mapping[str, Any] | Tabulated | Samples | None = None,
        constraint: Text | None = None,
        lift: Text | None = None,
        initial: Text | Mapping[str, Any] | None = None,
        terminal: Text | Mapping[str, Any] | None = None,
        conditions: Sequence[Mapping[str, Any]] = (),
        value_at: Mapping[str, Any] | None = None,
        reference: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None,
        key: PRNGKey,
    ):
        with _under("pde"):
            layout, parts = space(coordinates, dim)
        self.parameters = values = {
            name: parameter(f"pde.parameters.{name}", value)
            for name, value in (parameters or {}).items()
        }
        if not isinstance(residual, Text):
            raise UsageError("pde.residual", residual, "is no text", "write the equation")

        def node_of(key: str, text: Text | None) -> Node | None:
            return None if text is None else parse(text, layout, values, where=f"pde.{key}")

        def field(node: Node | None) -> Field | None:
            return None if node is None else Field(node, layout, values)

        where = "pde.residual"
        with _under("pde"):
            node = parse(residual, layout, values, where=where, allow=frozenset("uf"))
        without = split_source(node, text=str(residual), where=where)
        self.equation = Equation(node if without is None else without, layout, values, where=where)
        if not self.equation.operators and not self.equation.uses_u:
            raise fault(str(residual), where, 0, "the residual does not depend on u")
        self.operators = self.equation.operators
        self.given_source = field(node_of("source", source))
        self.solution, self.known_samples = None, None
        match solution:
            case Samples():
                self.known_samples = solution
            case Tabulated():
                self.solution = solution
            case Mapping():
                why = "is computed or read by the commands"
                raise UsageError("pde.solution", dict(solution), why, "give a text, or a table")
            case _:
                self.solution = field(node_of("solution", solution))
        self.manufactured = without is not None and source is None
        if self.manufactured and not isinstance(self.solution, Field):
            raise UsageError(where, None, "it holds f", "give pde.source, or pde.solution")
        if without is None and source is not None:
            raise UsageError("pde.source", source, "the residual has no - f", "add it there")
        apart = Product(*parts.values()) if len(parts) > 1 else next(iter(parts.values()))
        given = given_in_time(initial, terminal, layout, parts, values)
        vanishing, lifted = node_of("constraint", constraint), node_of("lift", lift)
        if given is not None and given.hard:
            if lifted is not None:
                why = f"{given.where} is the lift where it holds by construction"
                raise UsageError("pde.lift", lift, why, f"leave one out, or {given.where} soft")
            lifted, factor = given.lift, given.vanishing(layout)
            vanishing = factor if vanishing is None else multiply((factor, vanishing))
        vanishes, carried = field(vanishing), field(lifted)
        if given is not None and not given.hard:
            check_periodic(given.where, given.time.data, layout, apart)
        lifts = "pde.lift" if given is None or not given.hard else given.where
        for where, held in (("pde.constraint", vanishes), (lifts, carried)):
            if held is not None:
                check_periodic(where, held, layout, apart, slopes=True)
        self.constraint = Unconstrained() if vanishes is None else VanishWhere(vanishes)
        self.known_values = carried
        self.in_time = None if given is None else given.time
        self.given_reference = known_value(
            reference, {"dim": dim, **(value_at or {})}, parameters or {}
        )
        self.wanted = value_wanted(value_at, layout, parts, values)
        self.domain = (
            diffusing(coordinates, layout, parts, values, value_at, self.wanted, self.in_time)
            or apart
        )
        self.asked_in_time = () if given is None else given.conditions(layout, self.domain)
        self.asked = tuple(
            TextCondition(number, layout, parts, self.domain, values, **told)
            for number, told in enumerate(map(condition_from, count(), conditions))
        )

    def field(self, text: Text, *, where: str) -> Field:
        """As the base's; parameters may be named."""
        return Field.parse(text, self.layout, self.parameters, where=where)

    def lhs(self, x: Point, u: Scalar, derivatives: Derivatives) -> Scalar:
        return self.equation(x, u, derivatives)

    def source(self, x: Point) -> Scalar:
        if self.given_source is not None:
            return self.given_source(x)
        if self.manufactured:
            assert isinstance(self.solution, Field)
            return self.equation.of(self.solution, x)
        return jnp.zeros((), x.dtype)

    @property
    def layout(self) -> Layout:
        return self.equation.layout

    @property
    def samples(self) -> Samples | None:
        return self.known_samples

    @property
    def lift(self) -> ScalarField | None:
        return self.known_values

    @property
    def time(self) -> Time | None:
        return self.in_time

    @property
    def value_at(self) -> Float[Array, " dim"] | None:
        return self.wanted

    @property
    def reference(self) -> float | None:
        return self.given_reference

    @property
    def conditions(self) -> tuple[AbstractCondition, ...]:
        return self.asked_in_time + self.asked

    @property
    def nonlinear_in(self) -> tuple[str, ...]:
        return self.equation.nonlinear_in


@contextmanager
def _under(prefix: str) -> Iterator[None]:
    """Faults at a key of the PDE's own are told by the whole key."""
    try:
        yield
    except ExpressionError:
        raise
    except UsageError as error:
        if error.where == "dim" or error.where.startswith(f"{prefix}."):
            raise
        where = f"{prefix}.{error.where}"
        raise UsageError(where, error.value, error.why, error.mend, error.detail) from error


def parameter(where: str, value: Any) -> Any:
    """A number, or an array of numbers, that an expression names.

    Raises:
        UsageError: it is something else; `where` is the key that says so.
    """
    try:
        concrete = isinstance(value, jax.Array) and not isinstance(value, Tracer)
        array = np.asarray(value) if concrete or isinstance(value, Sequence) else value
        # Index lists stay what they are: single precision would spoil large whole numbers.
        if isinstance(array, np.ndarray) and array.ndim == 1 and array.dtype.kind in "iu":
            return array
        found = jnp.asarray(array, float)
    except (TypeError, ValueError) as error:
        why = "is not a number, a list or a matrix of numbers"
        raise UsageError(where, value, why) from error
    return found
