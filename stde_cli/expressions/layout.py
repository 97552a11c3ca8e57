"""What the entries of a point are called."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from stde_cli.system.errors import UsageError

Part: TypeAlias = str | tuple[str, int]

FUNCTIONS = {
    "sin": 1, "cos": 1, "tan": 1, "sinh": 1, "cosh": 1, "tanh": 1, "sech": 1, "exp": 1, "log": 1,
    "sqrt": 1, "abs": 1, "arctan": 1, "erf": 1, "min": 2, "max": 2,
}  # fmt: skip
"""The functions of numbers, and how many of them each takes."""

OPERATORS = frozenset(
    """
    sum dot norm2 partial laplacian biharmonic polyharmonic grad_norm2 grad div trace diff
    """.split()
)
RESERVED = frozenset(FUNCTIONS) | OPERATORS | {"pi", "u", "f"}


def is_reserved(name: str) -> bool:
    """Whether the language has a use of its own for `name`."""
    return name in RESERVED or name.startswith(("u_", "__"))


@dataclass(frozen=True)
class Layout:
    """The names of a point's entries, in order.

    Args:
        parts: single coordinates ("t") and at most one family of numbered ones (("x", 10), whose
            entries are x1 ... x10).

    Raises:
        UsageError: a name is reserved, repeated or not letters and digits, or a family is empty.
    """

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        names = [part if isinstance(part, str) else part[0] for part in self.parts]
        families = [part for part in self.parts if not isinstance(part, str)]
        if not names:
            raise UsageError("coordinates", "[]", "a point needs an entry")
        if len(families) > 1:
            raise UsageError("coordinates", families[1][0], "only one family can be numbered")
        for name in names:
            if not re.fullmatch("[A-Za-z][A-Za-z0-9]*", name, re.ASCII):
                raise UsageError("coordinates", name, "is no name", "use letters, then digits")
            if is_reserved(name):
                raise UsageError("coordinates", name, "the name is reserved", "take another")
            if names.count(name) > 1:
                raise UsageError("coordinates", name, "the name occurs twice")
        for family, count in families:
            if count < 1:
                raise UsageError("coordinates", count, f"the family {family} needs an entry")
            clash = [n for n in names if re.fullmatch(rf"{family}\d*", n) and n != family]
            if family[-1].isdigit() or clash:
                name = (*clash, family)[0]
                raise UsageError("coordinates", name, "cannot be told from a family's entry")

    @property
    def dim(self) -> int:
        return sum(1 if isinstance(part, str) else part[1] for part in self.parts)

    @property
    def family(self) -> str | None:
        """The name of the numbered family, if there is one."""
        return next((part[0] for part in self.parts if not isinstance(part, str)), None)

    @property
    def family_range(self) -> range:
        """The positions of the family in a point; empty without one."""
        found = ((k, p[1]) for k, p in self._placed() if not isinstance(p, str))
        return next((range(start, start + count) for start, count in found), range(0))

    @property
    def space(self) -> Sequence[int]:
        """The positions that `laplacian` and `grad` differentiate in.

        The family's if there is one, and those of all names but t otherwise.
        """
        if self.family:
            return self.family_range
        return tuple(k for k, part in enumerate(self.parts) if part != "t")

    @property
    def names(self) -> dict[str, int]:
        """The positions of the single coordinates."""
        return {part: k for k, part in self._placed() if isinstance(part, str)}

    def index(self, name: str, number: int | None = None) -> int:
        """The position of a single coordinate, or of the family's entry `number`, from 1.

        Raises:
            KeyError: there is none.
        """
        if number is None:
            return self.names[name]
        if name != self.family or not 1 <= number <= len(self.family_range):
            raise KeyError(f"{name}{number}")
        return self.family_range[number - 1]

    def label(self, position: int) -> str:
        """The name of the entry at `position`: "t" or "x3"."""
        if position in self.family_range:
            return f"{self.family}{position - self.family_range.start + 1}"
        return next(name for name, k in self.names.items() if k == position)

    def read(self, text: str) -> list[int] | None:
        """The positions that names written together mean: "txx", "x3x3" or "x_t".

        The longest name is taken first. None if it cannot be read so.
        """
        singles = sorted(self.names, key=len, reverse=True)
        pattern = "|".join(([rf"{self.family}\d+"] if self.family else []) + singles)
        found = []
        for chunk in text.split("_"):
            if not re.fullmatch(f"({pattern})+", chunk):
                return None
            for name in re.findall(pattern, chunk):
                if name in self.names:
                    found.append(self.names[name])
                else:
                    number = name.removeprefix(self.family or "")
                    if len(number) > 12 or not 1 <= int(number) <= len(self.family_range):
                        return None
                    found.append(self.index(self.family or "", int(number)))
        return found

    def _placed(self) -> Iterator[tuple[int, Part]]:
        start = 0
        for part in self.parts:
            yield start, part
            start += 1 if isinstance(part, str) else part[1]
