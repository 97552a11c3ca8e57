"""Grids of points: some coordinates over a range each, the others held."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from stde_cli.expressions import Layout
from stde_cli.problem.domains import AbstractDomain
from stde_cli.system.errors import UsageError

_EXAMPLE = "write x1=-1:1:200 for a range, x2=0.5 for a value, with commas between"


class Axis(NamedTuple):
    """A coordinate by its name and its position in a point, and its values."""

    name: str
    position: int
    values: Float[np.ndarray, " count"]


class Slice:
    """A grid in the domain: all combinations of the axes' values, the last axis fastest.

    Attributes:
        axes: at least one.
        held: other coordinates with the value that they have throughout. Those that are not among
            them have that of `base`.
    """

    def __init__(
        self,
        axes: Sequence[Axis],
        held: Sequence[tuple[str, int, float]],
        base: Float[np.ndarray, " dim"],
    ):
        self.axes, self.held = tuple(axes), {name: value for name, _, value in held}
        self.shape = tuple(len(axis.values) for axis in axes)
        self.count = math.prod(self.shape)
        self._base = np.array(base, np.float64)
        for _, position, value in held:
            self._base[position] = value

    @classmethod
    def parse(cls, text: str, layout: Layout, domain: AbstractDomain) -> "Slice":
        """From "x1=-1:1:200,x2=-1:1:200,t=0.5": low:high:count, or a value.

        Coordinates that are not named are held in the middle of the domain.

        Raises:
            UsageError: a coordinate is not there or is told twice, or its range is none.
        """
        axes: list[Axis] = []
        held: list[tuple[str, int, float]] = []
        for part in text.split(","):
            name, equals, values = (word.strip() for word in part.partition("="))
            if not equals:
                raise UsageError(
                    "--slice", part.strip() or None, "is no coordinate=range", _EXAMPLE
                )
            position = _position(name, layout)
            if position in (at for _, at, _ in (*axes, *held)):
                raise UsageError("--slice", part.strip(), f"{name} is told twice")
            if ":" in values:
                axes.append(Axis(name, position, _range(part.strip(), values)))
            else:
                held.append((name, position, _number(part.strip(), values)))
        if not axes:
            raise UsageError("--slice", text, "no coordinate has a range", _EXAMPLE)
        return cls(axes, held, middle(domain))

    def batches(self, size: int) -> Iterator[Float[np.ndarray, "points dim"]]:
        """The points of the grid, at most `size` at a time."""
        for start in range(0, self.count, size):
            rows = np.arange(start, min(start + size, self.count))
            points = np.tile(self._base, (len(rows), 1))
            indices = np.unravel_index(rows, self.shape)
            for axis, index in zip(self.axes, indices, strict=True):
                points[:, axis.position] = axis.values[index]
            yield points


def middle(domain: AbstractDomain) -> Float[np.ndarray, " dim"]:
    return np.asarray(domain.extent, np.float64).mean(axis=0)


def _position(name: str, layout: Layout) -> int:
    found = {(layout.names[name],)} if name in layout.names else set(layout.readings(name))
    if len(found) == 1 and len(position := found.pop()) == 1:
        return position[0]
    last = layout.dim - 1
    known = ", ".join(map(layout.label, range(min(layout.dim, 3))))
    known += f" ... {layout.label(last)}" if last > 2 else ""
    raise UsageError("--slice", name or None, "no such coordinate", f"this PDE has {known}")


def _range(told: str, text: str) -> Float[np.ndarray, " count"]:
    low, high, count = [*text.split(":"), "", ""][:3]
    if text.count(":") != 2 or not count.strip().isdecimal():
        raise UsageError("--slice", told, "is no low:high:count", _EXAMPLE)
    ends = _number(told, low), _number(told, high)
    if not ends[0] < ends[1]:
        raise UsageError("--slice", told, "is empty", "write the lower end first")
    if not 2 <= int(count) < 2**31:
        raise UsageError("--slice", told, f"{count} is no number of points", "give 2 or more")
    return np.linspace(*ends, int(count))


def _number(told: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError("--slice", told, f"{text or 'nothing'} is no finite number", _EXAMPLE)
    return number
