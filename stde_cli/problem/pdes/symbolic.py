"""A PDE from the text of a YAML file."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from stde_cli.expressions import ExpressionError, Field, Layout, fault, parse, split_source
from stde_cli.problem.constraints import AbstractConstraint, Unconstrained, VanishWhere
from stde_cli.problem.domains import AbstractDomain, Ball, Box, Gaussian, Product
from stde_cli.problem.operators import AbstractOperator
from stde_cli.problem.pdes.base import AbstractPDE
from stde_cli.problem.pdes.conditions import AbstractCondition
from stde_cli.problem.pdes.equation import Equation
from stde_cli.system.errors import UsageError
from stde_cli.system.types import Derivatives, Point, Points, PRNGKey, Scalar, ScalarField

Text: TypeAlias = str | int | float
"""An expression; YAML makes a number of "0"."""

_KINDS = "[low, high], {ball: radius}, {box: [low, high]} or {gaussian: standard deviation}"


class Symbolic(AbstractPDE):
    """residual(x, u, derivatives of u) = 0, everything given as text.

    Args:
        dim: how many coordinates the family has; where each has a name, or the family a `count`,
            the number of all, which a configuration without `dim` counts.
        coordinates: a name and what it ranges over, in the order of a point's entries: [low, high]
            for one coordinate; {ball: radius}, {box: [low, high]} or {gaussian: std} for a family
            x1, x2, ..., of `dim` members or of as many as its `count` says.
        residual: the equation, as text that is zero where u solves it. A term - f stands for the
            source.
        parameters: numbers, lists and matrices by name.
        source: f, where it is known as text. Otherwise it is derived from the solution.
        solution: the exact solution, where one is known.
        constraint: a text that vanishes where u is known; u = lift + constraint * network.
        lift: a text with the known values of u; 0 without it.
        conditions: what else is asked for, each a residual `at` some place with a `weight`.
            `at` maps coordinates to a number or to "boundary"; without it, everywhere.

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
    asked: tuple["TextCondition", ...]
    manufactured: bool = eqx.field(static=True)

    def __init__(
        self,
        dim: int,
        *,
        coordinates: Mapping[str, Any],
        residual: Text,
        parameters: Mapping[str, Any] | None = None,
        source: Text | None = None,
        solution: Text | None = None,
        constraint: Text | None = None,
        lift: Text | None = None,
        conditions: Sequence[Mapping[str, Any]] = (),
        key: PRNGKey,
    ):
        with _under("pde"):
            layout, parts = _space(coordinates, dim)
        self.domain = Product(*parts.values()) if len(parts) > 1 else next(iter(parts.values()))
        values = {
            name: parameter(f"pde.parameters.{name}", value)
            for name, value in (parameters or {}).items()
        }
        if not isinstance(residual, Text):
            raise UsageError("pde.residual", residual, "is no text", "write the equation")

        def field(key: str, text: Text | None) -> Field | None:
            if text is None:
                return None
            return Field.parse(text, layout, values, where=f"pde.{key}")

        where = "pde.residual"
        with _under("pde"):
            node = parse(residual, layout, values, where=where, allow=frozenset("uf"))
        without = split_source(node, text=str(residual), where=where)
        self.equation = Equation(node if without is None else without, layout, values, where=where)
        if not self.equation.operators and not self.equation.uses_u:
            raise fault(str(residual), where, 0, "the residual does not depend on u")
        self.operators = self.equation.operators
        self.given_source, self.solution = field("source", source), field("solution", solution)
        self.manufactured = without is not None and source is None
        if self.manufactured and solution is None:
            raise UsageError(where, None, "it holds f", "give pde.source, or pde.solution")
        if without is None and source is not None:
            raise UsageError("pde.source", source, "the residual has no - f", "add it there")
        vanishing = field("constraint", constraint)
        self.constraint = Unconstrained() if vanishing is None else VanishWhere(vanishing)
        self.known_values = field("lift", lift)
        self.asked = tuple(
            TextCondition(number, layout, parts, values, **_condition(number, entry))
            for number, entry in enumerate(conditions)
        )

    def lhs(self, x: Point, u: Scalar, derivatives: Derivatives) -> Scalar:
        return self.equation(x, u, derivatives)

    def source(self, x: Point) -> Scalar:
        if self.given_source is not None:
            return self.given_source(x)
        if self.manufactured:
            assert self.solution is not None
            return self.equation.of(self.solution, x)
        return jnp.zeros((), x.dtype)

    @property
    def layout(self) -> Layout:
        return self.equation.layout

    @property
    def lift(self) -> ScalarField | None:
        return self.known_values

    @property
    def conditions(self) -> tuple[AbstractCondition, ...]:
        return self.asked

    @property
    def nonlinear_in(self) -> tuple[str, ...]:
        return self.equation.nonlinear_in


class TextCondition(AbstractCondition):
    """A residual, as text, at points of the domain some of whose coordinates are given."""

    weight: float
    operators: dict[str, AbstractOperator]
    equation: Equation
    domain: AbstractDomain
    face: int | None = eqx.field(static=True)
    """The part of the domain that is on its boundary."""
    fixed: tuple[tuple[int, float], ...] = eqx.field(static=True)
    """Positions in a point and their values."""

    def __init__(
        self,
        number: int,
        layout: Layout,
        parts: Mapping[str, AbstractDomain],
        parameters: Mapping[str, Any],
        *,
        residual: Text,
        at: Mapping[str, Any] | None = None,
        weight: float = 1.0,
    ):
        where = f"pde.conditions[{number}]"
        node = parse(residual, layout, parameters, where=f"{where}.residual", allow=frozenset("u"))
        self.equation = Equation(node, layout, parameters, where=f"{where}.residual")
        self.operators = self.equation.operators
        if not self.operators and not self.equation.uses_u:
            raise fault(str(residual), f"{where}.residual", 0, "it does not depend on u")
        if not _is_positive(weight):
            raise UsageError(f"{where}.weight", weight, "must be above 0")
        self.weight = float(weight)
        self.domain = Product(*parts.values())
        faces, fixed = [], []
        for name, value in (at or {}).items():
            if name not in parts:
                known = ", ".join(parts)
                raise UsageError(f"{where}.at", name, "no such coordinate", f"choose from {known}")
            if value == "boundary":
                if isinstance(parts[name], Gaussian):
                    raise UsageError(f"{where}.at.{name}", value, "the whole space has none")
                faces.append(list(parts).index(name))
            elif name in layout.names and _is_number(value):
                _check_within(f"{where}.at.{name}", float(value), parts[name])
                fixed.append((layout.names[name], float(value)))
            else:
                mend = "give boundary" if name == layout.family else "give a number or boundary"
                raise UsageError(f"{where}.at.{name}", value, "is no place", mend)
        if len(faces) > 1:
            raise UsageError(f"{where}.at", at, "one part can be on its boundary", "split it up")
        self.face, self.fixed = (faces[0] if faces else None), tuple(fixed)

    @property
    def nonlinear_in(self) -> tuple[str, ...]:
        return self.equation.nonlinear_in

    def sample(self, points: int, *, key: PRNGKey) -> Points:
        assert isinstance(self.domain, Product)
        if self.face is None:
            x = self.domain.sample_interior(points, key=key)
        else:
            x = self.domain.sample_face(self.face, points, key=key)
        for position, value in self.fixed:
            x = x.at[:, position].set(value)
        return x

    def residual(self, x: Point, u: Scalar, derivatives: Derivatives) -> Scalar:
        return self.equation(x, u, derivatives)


def _space(coordinates: Mapping[str, Any], dim: int) -> tuple[Layout, dict[str, AbstractDomain]]:
    """The names of a point's entries, and the domain of each name."""
    layout_parts: list[str | tuple[str, int]] = []
    parts: dict[str, AbstractDomain] = {}
    sized = False
    for name, spec in coordinates.items():
        key = f"pde.coordinates.{name}"
        if isinstance(spec, Mapping):
            kinds = dict(spec)
            count = kinds.pop("count", None)
            sized |= count is None
            count = dim if count is None else count
            if not isinstance(count, int) or count < 1:
                raise UsageError(f"{key}.count", count, "must be a whole number of 1 or more")
            layout_parts.append((str(name), count))
            parts[str(name)] = _family(key, kinds, count)
        else:
            layout_parts.append(str(name))
            parts[str(name)] = Box(_interval(key, spec))
    layout = Layout(tuple(layout_parts))
    if not sized and dim != layout.dim:
        names = ", ".join(coordinates)
        raise UsageError("dim", dim, f"the coordinates {names} are {layout.dim}", "leave dim out")
    return layout, parts


def _check_within(where: str, value: float, domain: AbstractDomain) -> None:
    assert isinstance(domain, Box)
    (low,), (high,) = domain.lower, domain.upper
    if not low <= value <= high:
        raise UsageError(where, value, f"lies outside the range [{low:g}, {high:g}]")


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


def _family(key: str, kinds: Mapping[str, Any], count: int) -> AbstractDomain:
    match list(kinds.items()):
        case [("ball", radius)] if _is_positive(radius):
            return Ball(count, float(radius))
        case [("gaussian", std)] if _is_positive(std):
            return Gaussian(count, float(std))
        case [("box", ends)]:
            return Box(_interval(f"{key}.box", ends), copies=count)
    raise UsageError(key, dict(kinds), "is no range", f"give {_KINDS}")


def _interval(key: str, ends: Any) -> tuple[float, float]:
    if not isinstance(ends, Sequence) or isinstance(ends, str) or len(ends) != 2:
        raise UsageError(key, ends, "is no range", f"give {_KINDS}")
    if not all(map(_is_number, ends)):
        raise UsageError(key, list(ends), "must be two numbers")
    if any(low >= high for low, high in pairwise(ends)):
        raise UsageError(key, list(ends), "is empty", "write the lower end first")
    return float(ends[0]), float(ends[1])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


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


def _condition(number: int, entry: Any) -> dict[str, Any]:
    where, known = f"pde.conditions[{number}]", {"at", "residual", "weight"}
    if not isinstance(entry, Mapping) or "residual" not in entry:
        raise UsageError(where, entry, "is no condition", "give at, residual and weight")
    unknown = sorted(set(entry) - known)
    if unknown:
        raise UsageError(f"{where}.{unknown[0]}", None, "no such key", "give at, residual, weight")
    return dict(entry)
