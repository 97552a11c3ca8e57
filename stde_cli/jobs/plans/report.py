"""From an expression to the report on how its derivatives are computed."""

from collections.abc import Collection, Sequence
from itertools import product
from typing import Any

from stde_cli.autodiff.taylor.planner import FAMILIES, HIGHEST_ORDER, Family
from stde_cli.autodiff.taylor.planner import plan as cheapest_plan
from stde_cli.expressions import (
    Derivative,
    Laplacian,
    Layout,
    Node,
    Partial,
    Polyharmonic,
    derivatives,
    parse,
)
from stde_cli.expressions.algebra import partial
from stde_cli.jobs.plans.coordinates import coordinates_of
from stde_cli.jobs.plans.named import NamedPlan
from stde_cli.jobs.plans.sampled import how_sampled, title
from stde_cli.jobs.plans.tables import lines
from stde_cli.system.errors import UsageError


class PlanReport(dict[str, Any]):
    """All that is said of a plan, in numbers, texts, lists and dictionaries: it can be made JSON.

    It is shown as tables.
    """

    def __repr__(self) -> str:
        return "\n".join(lines(self))


def plan(
    expression: str,
    *,
    coordinates: Sequence[str] | None = None,
    families: Sequence[str] | None = None,
) -> PlanReport:
    """How the derivatives in an expression are computed, at what cost and accuracy.

    Args:
        expression: in u and its derivatives, as a residual is written.
        coordinates: their names in order; by default those in the text, t first.
        families: what the plan may use, of "positions", "polarisation" and "multivariate"; all by
            default.

    Raises:
        UsageError: the text is no expression, or has nothing to plan with `families`.

    Example:
        >>> import stde_cli as stde
        >>> found = stde.plan("u_ty + u_xxxy")
        >>> found["coordinates"], found["plan"]["pushes"][0]["order"]
        (['t', 'x', 'y'], 4)
        >>> print(found)
        u_ty + u_xxxy
        coordinates t, x, y
        ...
    """
    text = expression.strip()
    if not text:
        raise UsageError("expression", None, "it is empty", "write u_xx, say")
    wanted = list(FAMILIES) if families is None else families
    for family in wanted:
        if family not in FAMILIES:
            mend = f"one or more of {','.join(FAMILIES)}"
            raise UsageError("families", family, "no such family", mend)
    layout = coordinates_of(text, coordinates)
    node = parse(text, layout, {}, where="expression", allow=frozenset({"u", "f"}))
    exact, sampled = _exact_and_sampled(node, layout)
    if not exact and not sampled:
        raise UsageError("expression", text, "there is no derivative of u in it", "write u_xx, say")
    for found in exact:
        if (order := len(found.coordinates)) > HIGHEST_ORDER:
            why = f"{found.name} is of order {order}"
            mend = f"plans are made up to order {HIGHEST_ORDER}"
            raise UsageError("expression", None, why, mend)
    try:
        return _report(text, layout, exact, sampled, [f for f in FAMILIES if f in wanted])
    except ValueError as error:
        raise UsageError("families", ",".join(wanted), str(error)) from error


def _exact_and_sampled(node: Node, layout: Layout) -> tuple[list[Partial], list[Derivative]]:
    """What an expression takes of u: partials, read exactly, and what is estimated or one jet.

    Over single coordinates a Laplacian or a power of it is written out in partials.
    """
    exact: list[Partial] = []
    sampled: list[Derivative] = []
    for found in derivatives(node):
        if isinstance(found, Partial):
            exact.append(found)
        elif isinstance(found, Laplacian | Polyharmonic) and layout.family is None:
            times = getattr(found, "order", 1)
            choices = product(layout.space, repeat=times)
            exact += (partial(choice * 2, layout, found.column) for choice in choices)
        else:
            sampled.append(found)
    return list(dict.fromkeys(exact)), sampled


def _report(
    expression: str,
    layout: Layout,
    exact: Sequence[Partial],
    sampled: Sequence[Derivative],
    families: Collection[Family],
) -> PlanReport:
    """Everything about the cheapest plan for `exact`, and how `sampled` is read.

    Raises:
        ValueError: the planner cannot plan `exact` with `families`.
    """
    found: dict[str, Any] = {
        "expression": expression,
        "coordinates": [
            p if isinstance(p, str) else f"{p[0]}1..{p[0]}{p[1]}" for p in layout.parts
        ],
        "families": list(families),
        "sampled": [{"derivative": title(node), "how": how_sampled(node)} for node in sampled],
        "plan": None,
        "warnings": [],
    }
    if not exact:
        return PlanReport(found)
    moved = sorted({c for node in exact for c in node.coordinates})
    wanted = [tuple(node.coordinates.count(c) for c in moved) for node in exact]
    named = NamedPlan(layout, moved, cheapest_plan(wanted, families))
    return PlanReport(found | named.report(families))
