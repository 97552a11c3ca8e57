"""What the entries of a point are called."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
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
    sum max min dot norm2 partial laplacian biharmonic polyharmonic grad_norm2 grad div trace diff
    """.split()
)
_SPELLED = 6
"""Coordinates of a long derivative that a message spells out."""

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

    @cached_property
    def dim(self) -> int:
        return sum(1 if isinstance(part, str) else part[1] for part in self.parts)

    @cached_property
    def family(self) -> str | None:
        """The name of the numbered family, if there is one."""
        return next((part[0] for part in self.parts if not isinstance(part, str)), None)

    @cached_property
    def family_range(self) -> range:
        """The positions of the family in a point; empty without one."""
        found = ((k, p[1]) for k, p in self._placed() if not isinstance(p, str))
        return next((range(start, start + count) for start, count in found), range(0))

    @cached_property
    def space(self) -> Sequence[int]:
        """The positions that `laplacian` and `grad` differentiate in.

        The family's if there is one, and those of all names but t otherwise.
        """
        if self.family:
            return self.family_range
        return tuple(k for k, part in enumerate(self.parts) if part != "t")

    @cached_property
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
        return self._labels[position]

    def readings(self, text: str) -> tuple[tuple[int, ...], ...]:
        """The positions that names written together mean: "txx", "x3x3" or "x_t".

        None where they mean nothing, and two of the readings where there are several; `_` ends a
        name. It takes time in proportion to the text.
        """
        chunks = [self._names_onwards(chunk) for chunk in text.split("_")]
        if not all(text.split("_")) or not all(onwards[0] for onwards in chunks):
            return ()
        # Which name goes on first and which last is the same throughout only where one can.
        first, last = (
            tuple(position for onwards in chunks for position in _follow(onwards, choice))
            for choice in (0, -1)
        )
        return (first,) if first == last else (first, last)

    def spelled(self, positions: Sequence[int]) -> str:
        """A partial derivative of u as text that can be read in one way, whatever the names."""
        return f"partial({', '.join(['u', *map(self.label, positions)])})"

    def ambiguity(self, readings: Sequence[Sequence[int]]) -> str:
        """What is told of names that have two readings: both, near where they part."""
        one, other = readings
        pairs = enumerate(zip(one, other, strict=False))
        shared = next(number for number, (a, b) in pairs if a != b)
        start = shared - 1 if shared > _SPELLED else 0

        def excerpt(reading: Sequence[int]) -> str:
            end = shared + _SPELLED
            shown = self.spelled(reading[start:end])
            shown = shown.replace("(u, ", "(u, ..., ") if start else shown
            return shown.removesuffix(")") + ", ...)" if end < len(reading) else shown

        return f"can be read as {excerpt(one)} or as {excerpt(other)}"

    def _names_onwards(self, text: str) -> list[list[tuple[int, int]]]:
        """For each place in the text the names there that the rest can be read after.

        A name is told by where it ends and by its position in a point.
        """
        lengths = sorted({len(name) for name in self.names})
        onwards: list[list[tuple[int, int]]] = [[] for _ in text]
        for start in reversed(range(len(text))):
            found = [
                (start + length, self.names[text[start : start + length]])
                for length in lengths
                if text[start : start + length] in self.names and start + length <= len(text)
            ]
            if self._numbered and (entry := self._numbered.match(text, start)):
                number = int(entry[1])
                if 1 <= number <= len(self.family_range):
                    found.append((entry.end(), self.family_range[number - 1]))
            onwards[start] = [
                (end, position)
                for end, position in sorted(found)
                if end == len(text) or onwards[end]
            ]
        return onwards

    @cached_property
    def _numbered(self) -> re.Pattern[str] | None:
        """An entry of the family with all digits of its number."""
        return re.compile(rf"{self.family}(\d{{1,12}})(?!\d)") if self.family else None

    @cached_property
    def _labels(self) -> dict[int, str]:
        return {position: name for name, position in self.names.items()}

    def _placed(self) -> Iterator[tuple[int, Part]]:
        start = 0
        for part in self.parts:
            yield start, part
            start += 1 if isinstance(part, str) else part[1]


def _follow(onwards: Sequence[Sequence[tuple[int, int]]], choice: int) -> Iterator[int]:
    """The positions of the names that are met by one choice, 0 or -1, at every place."""
    place = 0
    while place < len(onwards):
        place, position = onwards[place][choice]
        yield position
