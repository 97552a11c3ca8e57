"""Coordinates as a YAML file gives them: names, and the domain that each ranges over."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from stde_cli.expressions import Layout
from stde_cli.problem.domains import AbstractDomain, Ball, Box, Gaussian, Torus
from stde_cli.system.errors import UsageError

_KINDS = (
    "[low, high], {periodic: [low, high]}, {ball: radius}, {box: [low, high]}, "
    "{gaussian: standard deviation}, {diffusion: volatility}, {geometric: volatility} or "
    "{ornstein_uhlenbeck: volatility}"
)
PERIODIC = "periodic"
"""The kind that is one coordinate where it has no `count`, and a family with one."""
DIFFUSIONS = ("diffusion", "geometric", "ornstein_uhlenbeck")
"""Kinds whose points come from a process in time."""


def space(coordinates: Mapping[str, Any], dim: int) -> tuple[Layout, dict[str, AbstractDomain]]:
    """The names of a point's entries, and the domain of each name."""
    layout_parts: list[str | tuple[str, int]] = []
    parts: dict[str, AbstractDomain] = {}
    sized = False
    for name, spec in coordinates.items():
        key = f"pde.coordinates.{name}"
        if isinstance(spec, Mapping) and set(spec) == {PERIODIC}:
            layout_parts.append(str(name))
            parts[str(name)] = Torus(*_interval(f"{key}.{PERIODIC}", spec[PERIODIC]))
        elif isinstance(spec, Mapping):
            kinds = dict(spec)
            count = kinds.pop("count", None)
            sized |= count is None or count == dim
            count = dim if count is None else count
            if not isinstance(count, int) or count < 1:
                raise UsageError(f"{key}.count", count, "must be a whole number of 1 or more")
            layout_parts.append((str(name), count))
            parts[str(name)] = _family(key, kinds, count)
        else:
            layout_parts.append(str(name))
            parts[str(name)] = Box(_interval(key, spec))
    layout = Layout(tuple(layout_parts))
    if not sized and dim != layout.dim:
        names = ", ".join(coordinates)
        raise UsageError("dim", dim, f"the coordinates {names} are {layout.dim}", "leave dim out")
    return layout, parts


def check_within(where: str, value: float, domain: AbstractDomain) -> None:
    box = domain.box if isinstance(domain, Torus) else domain
    assert isinstance(box, Box)
    (low,), (high,) = box.lower, box.upper
    if not low <= value <= high:
        raise UsageError(where, value, f"lies outside the range [{low:g}, {high:g}]")


def _family(key: str, kinds: Mapping[str, Any], count: int) -> AbstractDomain:
    match list(kinds.items()):
        case [("ball", radius)] if is_positive(radius):
            return Ball(count, float(radius))
        case [("gaussian", std)] if is_positive(std):
            return Gaussian(count, float(std))
        case [("box", ends)]:
            return Box(_interval(f"{key}.box", ends), copies=count)
        case [("periodic", ends)]:
            return Torus(*_interval(f"{key}.{PERIODIC}", ends), copies=count)
    if any(kind in kinds for kind in DIFFUSIONS):
        # The whole space, as others see it; where points lie there goes with the time.
        return Gaussian(count)
    raise UsageError(key, dict(kinds), "is no range", f"give {_KINDS}")


def _interval(key: str, ends: Any) -> tuple[float, float]:
    if not isinstance(ends, Sequence) or isinstance(ends, str) or len(ends) != 2:
        raise UsageError(key, ends, "is no range", f"give {_KINDS}")
    if not all(map(is_number, ends)):
        raise UsageError(key, list(ends), "must be two numbers")
    if any(low >= high for low, high in pairwise(ends)):
        raise UsageError(key, list(ends), "is empty", "write the lower end first")
    return float(ends[0]), float(ends[1])


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_positive(value: Any) -> bool:
    return is_number(value) and value > 0
