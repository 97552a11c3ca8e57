"""stde plan EXPR: how the derivatives in an expression are computed, at what cost and accuracy."""

import json
import re

from stde_cli.cli.arguments import Parser
from stde_cli.expressions import Layout, parse
from stde_cli.expressions.layout import Part
from stde_cli.system.errors import UsageError

_NUMBERED = 10
"""How many entries a family of coordinates is given, where the text names none above."""

_OVER_ALL = {"laplacian", "biharmonic", "polyharmonic", "grad_norm2", "grad"}


def main(arguments: list[str]) -> int:
    parser = Parser("plan", "How the derivatives in an expression are computed, and at what cost.")
    parser.add_argument(
        "expression", metavar="EXPR", help="in u and its derivatives: 'u_ty + u_xxxy - u_xx'"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument(
        "--families",
        metavar="LIST",
        help="of positions, polarisation, multivariate: what the plan may use; all by default",
    )
    parser.add_argument(
        "--coordinates",
        metavar="LIST",
        help="t,x,y: names of coordinates in order; by default those in the text, t first",
    )
    # What begins with a minus is an expression too: a space before it tells argparse so.
    signed = (f" {a}" if re.match("-[^-h]", a) else a for a in arguments)
    options = parser.parse_args(list(signed))

    from stde_cli.autodiff.taylor.planner import FAMILIES, HIGHEST_ORDER
    from stde_cli.jobs import plans

    text = options.expression.strip()
    if not text:
        raise UsageError("EXPR", None, "it is empty", "write u_xx, say")
    wanted = list(FAMILIES) if options.families is None else _names(options.families)
    for family in wanted:
        if family not in FAMILIES:
            mend = f"one or more of {','.join(FAMILIES)}"
            raise UsageError("--families", family, "no such family", mend)
    layout = _layout(text, None if options.coordinates is None else _names(options.coordinates))
    node = parse(text, layout, {}, where="EXPR", allow=frozenset({"u", "f"}))
    exact, sampled = plans.exact_and_sampled(node, layout)
    if not exact and not sampled:
        raise UsageError("EXPR", text, "there is no derivative of u in it", "write u_xx, say")
    for partial in exact:
        if (order := len(partial.coordinates)) > HIGHEST_ORDER:
            why = f"{partial.name} is of order {order}"
            raise UsageError("EXPR", None, why, f"plans are made up to order {HIGHEST_ORDER}")
    try:
        found = plans.report(text, layout, exact, sampled, [f for f in FAMILIES if f in wanted])
    except ValueError as error:
        raise UsageError("--families", ",".join(wanted), str(error)) from error
    if options.json:
        print(json.dumps(found, allow_nan=False))
    else:
        plans.show(found)
    return 0


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _layout(text: str, given: list[str] | None) -> Layout:
    """The coordinates that are given, or else those that the text names.

    Names are a letter and perhaps digits. A letter that is indexed, as in x[i], stands for a
    family of numbered coordinates; so does x where an operator over all coordinates has none.
    """
    after_u = {name for part in re.findall(r"\bu_(\w+)", text) for name in _letters(part)}
    alone = set(re.findall(r"(?<![\w.])[A-Za-z]\d*(?![\w(\[.])", text)) - {"u", "f"}
    alone -= set(re.findall(r"\bsum\(\s*(\w+)", text))
    named = set(given) if given is not None else after_u | alone
    family = next(iter(re.findall(r"\b([A-Za-z])\[", text)), None)
    over_all = set(re.findall(r"[a-z_0-9]+(?=\()", text)) & _OVER_ALL
    if family is None and over_all and not (set(given or after_u) - {"t"}):
        family = "x"
    if family is None:
        names = given if given is not None else sorted(named, key=_order)
        return Layout(tuple(names or ["x"]))
    numbers = [int(n) for n in re.findall(rf"{family}(\d{{1,4}})(?!\d)", text)]
    single = [n for n in given or sorted(named, key=_order) if not re.match(rf"{family}\d*$", n)]
    parts: list[Part] = [*single, (family, max([_NUMBERED, *numbers]))]
    return Layout(tuple(parts))


def _letters(text: str) -> list[str]:
    return re.findall(r"[A-Za-z]\d*", text)


def _order(name: str) -> tuple[bool, str, int]:
    """t first, then alphabetically, x2 before x10."""
    return name != "t", name[0], int(name[1:] or 0)
