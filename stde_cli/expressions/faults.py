"""How a fault in an expression is told: one line, then the text with a caret under the fault."""

import difflib
from collections.abc import Iterable

from stde_cli.system.errors import UsageError

_SHOWN = 96
"""Characters of the text that are shown around a fault."""


class ExpressionError(UsageError):
    """An expression cannot be understood; `detail` is its text and a caret under the fault."""


def fault(text: str, where: str, column: int, why: str, mend: str = "") -> ExpressionError:
    """The error for a fault at `column` of `text`, counted from 0; the user is told column + 1."""
    shown, caret = _excerpt(text, column)
    why = f"{why} at column {column + 1}"
    return ExpressionError(where, None, why, mend, f"  {shown}\n  {' ' * caret}^")


def _excerpt(text: str, column: int) -> tuple[str, int]:
    """The part of the text around a column, and where the column falls in it."""
    text = "".join(c if c.isprintable() else " " for c in text)
    if len(text) <= _SHOWN:
        return text, column
    start = max(0, min(column - _SHOWN // 2, len(text) - _SHOWN))
    before, after = "... " if start else "", " ..." if start + _SHOWN < len(text) else ""
    return before + text[start : start + _SHOWN] + after, column - start + len(before)


def nearest(name: str, known: Iterable[str]) -> str:
    """A mend: the known name most like this one, or a few that can be used."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(names[:12])}"
