"""A condition of a PDE from text."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx

from stde_cli.expressions import Layout, fault, parse
from stde_cli.problem.domains import AbstractDomain, Gaussian, Product, Torus
from stde_cli.problem.operators import AbstractOperator
from stde_cli.problem.pdes.conditions import AbstractCondition
from stde_cli.problem.pdes.coordinates import check_within, is_number, is_positive
from stde_cli.problem.pdes.equation import Equation
from stde_cli.system.errors import UsageError
from stde_cli.system.types import Derivatives, Point, Points, PRNGKey, Scalar, Text


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
        domain: AbstractDomain,
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
        if not is_positive(weight):
            raise UsageError(f"{where}.weight", weight, "must be above 0")
        self.weight = float(weight)
        self.domain = domain
        faces, fixed = [], []
        for name, value in (at or {}).items():
            if name not in parts:
                known = ", ".join(parts)
                raise UsageError(f"{where}.at", name, "no such coordinate", f"choose from {known}")
            if value == "boundary":
                if isinstance(parts[name], Gaussian):
                    raise UsageError(f"{where}.at.{name}", value, "the whole space has none")
                if isinstance(parts[name], Torus):
                    why = "a periodic coordinate has none"
                    mend = "leave the condition out: u and its derivatives are periodic as they are"
                    raise UsageError(f"{where}.at.{name}", value, why, mend)
                faces.append(list(parts).index(name))
            elif name in layout.names and is_number(value):
                check_within(f"{where}.at.{name}", float(value), parts[name])
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
        if self.face is None:
            return self.domain.sample_where(dict(self.fixed), points, key=key)
        if isinstance(self.domain, Product):
            x = self.domain.sample_face(self.face, points, key=key)
        else:
            x = self.domain.sample_boundary(points, key=key)
        for position, value in self.fixed:
            x = x.at[:, position].set(value)
        return x

    def residual(self, x: Point, u: Scalar, derivatives: Derivatives) -> Scalar:
        return self.equation(x, u, derivatives)


def condition_from(number: int, entry: Any) -> dict[str, Any]:
    where, known = f"pde.conditions[{number}]", {"at", "residual", "weight"}
    if not isinstance(entry, Mapping) or "residual" not in entry:
        raise UsageError(where, entry, "is no condition", "give at, residual and weight")
    unknown = sorted(set(entry) - known)
    if unknown:
        raise UsageError(f"{where}.{unknown[0]}", None, "no such key", "give at, residual, weight")
    return dict(entry)
