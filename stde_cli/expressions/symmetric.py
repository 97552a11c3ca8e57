"""Texts of functions that no order of a family's coordinates changes."""

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from annotated_types import MinLen

from stde_cli.expressions.layout import Layout
from stde_cli.system.errors import UsageError

Texts: TypeAlias = Annotated[list[str | int | float], MinLen(1)]
Arguments: TypeAlias = Texts | Literal["symmetric"]
"""What a function is of, in place of all coordinates."""


def texts(
    of: Sequence[str | int | float], layout: Layout, *, where: str
) -> Sequence[str | int | float]:
    """Those given; of "symmetric" the named coordinates, and two power sums of the others.

    Every polynomial that is the same in every order of its arguments is one of their power sums
    (Newton's identities), and one of degree two is of these.

    Raises:
        UsageError: at `where`: there is no family of coordinates.
    """
    if of != "symmetric":
        return of
    family = layout.family
    if family is None or len(layout.family_range) < 2:
        why = f"it is of two numbered coordinates or more, and there are {len(layout.family_range)}"
        raise UsageError(where, "symmetric", why, "leave it out")
    named = [part for part in layout.parts if isinstance(part, str)]
    return [*named, f"sum(i, {family}[i])", f"norm2({family})"]
