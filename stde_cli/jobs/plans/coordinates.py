"""What the coordinates of an expression are called, where its text alone is there to tell."""

import re
from collections.abc import Sequence

from stde_cli.expressions import Layout
from stde_cli.expressions.layout import Part

_NUMBERED = 10
"""How many entries a family of coordinates is given, where the text names none above."""

_OVER_ALL = {"laplacian", "biharmonic", "polyharmonic", "grad_norm2", "grad"}


def coordinates_of(text: str, given: Sequence[str] | None) -> Layout:
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
