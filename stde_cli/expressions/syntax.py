"""From text to Python's syntax tree, with the column of every part of it.

Python's own grammar reads the text. What is no expression in it is refused here, and so is what is
too long or too deep; what the parts may be and mean is for those who read the tree.
"""

import ast
import re
import warnings

from stde_cli.expressions.faults import ExpressionError, fault

_LONGEST, _DEEPEST = 10_000, 100
_CHAINS = ((ast.Add, ast.Sub), (ast.Mult,))

_LOOKALIKES = {
    "−": "-", "–": "-", "×": "*", "·": "*", "÷": "/", "²": "**2", "³": "**3", "π": "pi",
    "Δ": "laplacian(u)", "∆": "laplacian(u)", "∇": "grad(u)", "√": "sqrt", "’": "",
}  # fmt: skip


def as_line(text: str | int | float) -> str:
    """The text with a space for each line break, so that columns stay as they are."""
    return re.sub(r"[\n\r\t]", " ", str(text))


class Text:
    """An expression as it is written.

    Args:
        text: the expression.
        where: the config key that it stands at, for messages.

    Raises:
        ExpressionError: the text is no expression of Python's, too long or nested too deeply.
    """

    def __init__(self, text: str | int | float, where: str):
        self.text, self.where = as_line(text), where
        self.tree, self._shift = _syntax_tree(self.text, where)
        self._check_depth()

    def column(self, tree: ast.AST) -> int:
        """Where a part of the tree begins, counted from 0."""
        return getattr(tree, "col_offset", 0) + self._shift

    def operator_column(self, tree: ast.BinOp) -> int:
        """Where the operator between two parts stands."""
        column = (tree.left.end_col_offset or 0) + self._shift
        while column < len(self.text) - 1 and self.text[column] in " )":
            column += 1
        return column

    def fault(self, at: ast.AST | int, why: str, mend: str = "") -> ExpressionError:
        """The error for a fault in a part of the tree, or at a column."""
        column = at if isinstance(at, int) else self.column(at)
        return fault(self.text, self.where, column, why, mend)

    def _check_depth(self) -> None:
        """Refuse what is nested too deeply; however many terms or factors are one level."""
        stack = [(self.tree, 1)]
        while stack:
            node, depth = stack.pop()
            if depth > _DEEPEST:
                raise self.fault(node, f"nested more than {_DEEPEST} deep", "split it up")
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    same = chain_of(child) is not None and chain_of(child) == chain_of(node)
                    stack.append((child, depth if same else depth + 1))


def _syntax_tree(text: str, where: str) -> tuple[ast.expr, int]:
    """Python's reading of the text, and how many characters it was shifted by."""
    if len(text) > _LONGEST:
        raise fault(text, where, _LONGEST, f"the text is longer than {_LONGEST} characters")
    for column, character in enumerate(text):
        if not character.isascii():
            mend = _LOOKALIKES.get(character)
            mend = f"write {mend}" if mend else "write it in plain ASCII letters"
            raise fault(text, where, column, f"{character!a} is not ASCII", mend)
        if not character.isprintable() or character in "#;\\\"'`$?!{}":
            raise fault(text, where, column, f"{character!r} is not part of the language")
    stripped = text.lstrip()
    shift = len(text) - len(stripped)
    if not stripped:
        raise fault(text, where, 0, "there is no expression", "write 0 for nothing")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(stripped, mode="eval").body, shift
    except SyntaxError as error:
        # Python gives no place, or one before the text, to what ends too early.
        column = min((error.offset or len(stripped) + 1) - 1 + shift, len(text))
        assignment = re.search(r"(?<![=<>:])=(?![=])", text)
        if assignment and "," not in text[: assignment.start()]:
            why, mend = "= is not part of an expression", "write the left side minus the right"
            raise fault(text, where, assignment.start(), why, mend) from None
        if long := re.search(r"\d{1000}", text):
            raise fault(text, where, long.start(), "the number is too long") from None
        digits = re.search(r"(?<![\w.])[\d.]+(?=[A-Za-z(])", stripped)
        mend = "write * between factors" if digits else "check brackets, operators and commas"
        reason = (error.msg or "invalid syntax").split(". ")[0]
        raise fault(text, where, column, f"not an expression ({reason})", mend) from None
    except (RecursionError, MemoryError):
        raise fault(text, where, shift, "nested too deeply, or too long", "split it up") from None
    except ValueError:
        why = "a number is too long or too large"
        raise fault(text, where, shift, why, "write it as 1e100") from None


def chain_of(tree: ast.AST) -> tuple[type, ...] | None:
    """The operators that go on at one level where this is one of them."""
    if isinstance(tree, ast.BinOp):
        return next((kinds for kinds in _CHAINS if isinstance(tree.op, kinds)), None)
    return None
