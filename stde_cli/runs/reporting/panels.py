"""What a picture on logarithmic scales shows: a quantity in each panel, against what varies."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["measured", "trivial", "published"]


class Series(NamedTuple):
    """
    Attributes:
        name: series of one name have one colour.
        y: None where there is no figure.
        kind: the others are drawn to hold it against.
    """

    name: str
    x: Sequence[int]
    y: Sequence[float | None]
    kind: Kind = "measured"


class Panel(NamedTuple):
    x_label: str
    y_label: str
    series: Sequence[Series]


def are_empty(panels: Sequence[Panel]) -> bool:
    """Whether there is nothing in them to draw."""
    return not any(y for panel in panels for series in panel.series for y in series.y)
