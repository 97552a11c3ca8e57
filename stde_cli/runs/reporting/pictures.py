"""Pictures for a page: each an SVG element that stands in its text, with ids of its own.

What is drawn in ink takes the colour of the page's text, so a page may be light or dark.
"""

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from cycler import cycler
from jaxtyping import Float

from stde_cli.runs.reporting.panels import Panel
from stde_cli.runs.reporting.tables import figure as figure_of

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatter

_INK = "#0a0b0c"
"""Stands for the colour of the text; nothing is drawn in it otherwise."""
# Legible on white and on black.
_COLORS = """
    #2a86d1 #e07b1f #2f9e44 #d6453d #8e6bbf #9c6b57 #d264b6 #808080 #a3a31f #17a2b8
""".split()
_STYLE = {
    "axes.edgecolor": _INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.prop_cycle": cycler(color=_COLORS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.size": 9,
    "grid.alpha": 0.15,
    "grid.color": _INK,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}
_WIDTH = 9.8
"""Of a figure, in inches; its text is 9 points high where it is shown so wide."""
_LEAST_RANGE = 5
"""How many times its lower end the upper end of a logarithmic scale is at least."""
_LINES: dict[str, Any] = {
    "measured": {"linestyle": "-", "marker": "o", "markersize": 4},
    "trivial": {"linestyle": "--", "linewidth": 1},
    "published": {"linestyle": ":", "marker": "s", "markersize": 4},
}
_KINDS = {"trivial": "trivial baseline", "published": "published"}
_LEGEND_LINE, _LEGEND_LETTER = 0.6, 0.08
"""Inches that an entry of a legend takes beside its text, and that a letter of it takes."""
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}
_MOST_NAMED = 12
"""Lines that a legend names: more would leave no room for them."""
_MOST_POINTS = 400
"""Points of a curve: a screen shows no more."""


class Curve(NamedTuple):
    """The figures of a run on its way: a row a log event, as in metrics.jsonl.

    Attributes:
        name: runs of one name have one colour.
    """

    name: str
    rows: Sequence[dict[str, float]]
    finished: bool = True


class Plane(NamedTuple):
    """u over two coordinates, NaN outside the domain; the rows are of the second one.

    Attributes:
        title: where the other coordinates are held.
    """

    names: tuple[str, str]
    values: tuple[Float[np.ndarray, " columns"], Float[np.ndarray, " rows"]]
    u: Float[np.ndarray, "rows columns"]
    exact: Float[np.ndarray, "rows columns"] | None
    title: str = ""


class Lines(NamedTuple):
    """u along lines; NaN outside the domain."""

    name: str
    position: Float[np.ndarray, " count"]
    u: Float[np.ndarray, "lines count"]
    exact: Float[np.ndarray, "lines count"] | None


class Scattered(NamedTuple):
    """u at points, and the exact solution there."""

    u: Float[np.ndarray, " points"]
    exact: Float[np.ndarray, " points"]


def training(curves: Sequence[Curve], trivial: float | None, name: str) -> str:
    """Loss and relative error of runs of one problem, against steps and seconds.

    Args:
        trivial: the error of the trivial baseline, where an exact solution is known.
        name: an id of the page, as in each of these functions.
    """
    evaluated = any(row.get("rel_l2_error") for curve in curves for row in curve.rows)
    colors = _colors([curve.name for curve in curves])
    with _figure(name, (_WIDTH, 5.2 if evaluated else 2.8), rows=1 + evaluated, columns=2) as made:
        figure, axes, finish = made
        for row, key in enumerate(["loss", "rel_l2_error"][: 1 + evaluated]):
            for column, along in enumerate(("step", "seconds")):
                panel = axes[row][column]
                for curve in curves:
                    x, y = _points(curve.rows, along, key)
                    style = "-" if curve.finished else ":"
                    marker = "." if len(x) < 12 else ""
                    panel.plot(x, y, style, marker=marker, color=colors[curve.name])
                if key == "rel_l2_error" and trivial is not None:
                    panel.axhline(trivial, color=_INK, linestyle="--", linewidth=1)
                panel.set_xlabel(along)
                _logarithmic(panel)
            axes[row][0].set_ylabel("loss" if key == "loss" else "relative L2 error")
        # A study has more of them than anybody tells apart.
        labels = [*colors] if len(colors) <= _MOST_NAMED else []
        handles = [Line2D([], [], color=colors[label]) for label in labels]
        if evaluated and trivial is not None:
            handles.append(Line2D([], [], color=_INK, linestyle="--", linewidth=1))
            labels.append("trivial baseline")
        if not all(curve.finished for curve in curves):
            handles.append(Line2D([], [], color=_INK, linestyle=":"))
            labels.append("dotted: not finished")
        _legend(figure, handles, labels)
        return finish()


def log_log(panels: Sequence[Panel], name: str) -> str:
    """Quantities on logarithmic scales, side by side."""
    with _figure(name, _log_log_size(panels), 1, len(panels)) as (figure, axes, finish):
        _draw(panels, figure, axes[0])
        return finish()


@contextmanager
def log_log_figure(panels: Sequence[Panel]) -> Iterator[Figure]:
    """The same as a figure, for a file of its own."""
    with _figure("", _log_log_size(panels), 1, len(panels)) as (figure, axes, _):
        _draw(panels, figure, axes[0])
        yield figure


def _log_log_size(panels: Sequence[Panel]) -> tuple[float, float]:
    return min(_WIDTH, 7.5 * len(panels)), 3.6


def _draw(panels: Sequence[Panel], figure: Figure, axes: Any) -> None:
    series = [each for panel in panels for each in panel.series]
    colors = _colors([each.name for each in series])
    for panel, part in zip(panels, axes, strict=True):
        for each in panel.series:
            y = [np.nan if value is None else value for value in each.y]
            part.plot(each.x, y, color=colors[each.name], **_LINES[each.kind])
        part.set(xlabel=panel.x_label, ylabel=panel.y_label, xscale="log")
        ticks = sorted({x for each in panel.series for x in each.x})
        part.set_xticks(ticks, [_short(x) for x in ticks])
        part.minorticks_off()
        _logarithmic(part)
        known = [y for each in panel.series for y in each.y if y]
        if known and max(known) < _LEAST_RANGE * min(known):
            middle = (max(known) * min(known)) ** 0.5
            part.set_ylim(middle / _LEAST_RANGE**0.5, middle * _LEAST_RANGE**0.5)
    kinds = [kind for kind in ("trivial", "published") if kind in {each.kind for each in series}]
    handles = [Line2D([], [], color=color) for color in colors.values()]
    handles += [Line2D([], [], color=_INK, **_LINES[kind]) for kind in kinds]
    _legend(figure, handles, [*colors, *(_KINDS[kind] for kind in kinds)])


def _short(number: int) -> str:
    """As papers have dimensions: 100, 10K, 1M."""
    for size, sign in ((1_000_000, "M"), (1_000, "K")):
        if number >= size and number % (size // 10) == 0:
            return f"{number / size:g}{sign}"
    return figure_of(number)


class Trials(NamedTuple):
    """Of a study.

    Attributes:
        status: of each, which has its own sign.
        best: the least of the finished ones so far; None before there is one.
    """

    number: Sequence[int]
    value: Sequence[float]
    status: Sequence[str]
    best: Sequence[float | None]


_MARKERS = {"finished": "o", "pruned": "x"}


def history(found: Trials, label: str, name: str) -> str:
    """An objective, trial by trial, and the best so far."""
    with _figure(name, (_WIDTH, 3.2), 1, 1) as (figure, axes, finish):
        panel = axes[0][0]
        for status, marker in _MARKERS.items():
            kept = [k for k, each in enumerate(found.status) if each == status]
            x, y = [found.number[k] for k in kept], [found.value[k] for k in kept]
            panel.plot(x, y, marker, markersize=4, color=_COLORS[status == "pruned"])
        best = [np.nan if value is None else value for value in found.best]
        panel.step(found.number, best, where="post", color=_INK, linewidth=1)
        panel.set(xlabel="trial", ylabel=label)
        panel.xaxis.get_major_locator().set_params(integer=True)
        _logarithmic(panel)
        _legend(figure, *_marked([*_MARKERS]))
        return finish()


def importances(found: Mapping[str, Mapping[str, float]], name: str) -> str:
    """Bars: by objective, the share of each key that was searched."""
    keys = list(dict.fromkeys(key for shares in found.values() for key in shares))
    size = (_WIDTH, 0.9 + 0.3 * len(keys) * len(found))
    with _figure(name, size, 1, 1) as (figure, axes, finish):
        panel = axes[0][0]
        width = 0.8 / len(found)
        for number, shares in enumerate(found.values()):
            places = [place + number * width for place in range(len(keys))]
            panel.barh(places, [shares.get(key, 0.0) for key in keys], width, color=f"C{number}")
        middles = [place + 0.4 - width / 2 for place in range(len(keys))]
        panel.set_yticks(middles, [key.replace("$", r"\$") for key in keys])
        panel.set(xlabel="importance", xlim=(0, 1))
        panel.invert_yaxis()
        if len(found) > 1:
            handles = [Line2D([], [], color=f"C{number}") for number in range(len(found))]
            _legend(figure, handles, [*found])
        return finish()


def front(
    points: Sequence[tuple[float, float]], best: Sequence[int], labels: tuple[str, str], name: str
) -> str:
    """Two objectives against each other, and the front of those that no other point beats.

    Args:
        best: places of the latter among the points.
    """
    with _figure(name, (_WIDTH / 2, 3.6), 1, 1) as (_, axes, finish):
        panel = axes[0][0]
        panel.plot(*zip(*points, strict=True), "o", markersize=4, color=_COLORS[7])
        edge = sorted(points[place] for place in best)
        panel.step(*zip(*edge, strict=True), where="post", color=_COLORS[0], linewidth=1)
        panel.plot(*zip(*edge, strict=True), "o", markersize=5, color=_COLORS[0])
        panel.set(xlabel=labels[0], ylabel=labels[1], xscale="log")
        panel.xaxis.set_major_formatter(_Plain())
        panel.xaxis.set_minor_formatter(_Plain(minor_thresholds=(1, 0.4)))
        _logarithmic(panel)
        return finish()


def _marked(statuses: Sequence[str]) -> tuple[list[Line2D], list[str]]:
    handles = [
        Line2D([], [], linestyle="", marker=_MARKERS[each], color=_COLORS[each == "pruned"])
        for each in statuses
    ]
    return [*handles, Line2D([], [], color=_INK, linewidth=1)], [*statuses, "best so far"]


def planes(found: Sequence[Plane], name: str) -> str:
    """Heat maps: u as predicted, and where it is known the exact u and the error."""
    with _figure(name, (_WIDTH, 3.2 * len(found)), len(found), 3) as (_, axes, finish):
        for row, plane in zip(axes, found, strict=True):
            parts = [part for part in (plane.u, plane.exact) if part is not None]
            low = min(float(np.nanmin(part)) for part in parts)
            high = max(float(np.nanmax(part)) for part in parts)
            for panel, part, label in zip(row, parts, ("u, predicted", "u, exact"), strict=False):
                _heat(panel, plane, part, label, vmin=low, vmax=high, cmap="viridis")
            if plane.exact is not None:
                error = plane.u - plane.exact
                most = float(np.nanmax(np.abs(error))) or 1.0
                label = "error: predicted − exact"
                _heat(row[2], plane, error, label, vmin=-most, vmax=most, cmap="RdBu_r")
            for panel in row[len(parts) :] if plane.exact is None else ():
                panel.set_axis_off()
        return finish()


def _heat(panel: Axes, plane: Plane, values: np.ndarray, label: str, **colors: Any) -> None:
    x, y = plane.values
    extent = (float(x[0]), float(x[-1]), float(y[0]), float(y[-1]))
    image = panel.imshow(values, origin="lower", extent=extent, aspect="auto", **colors)
    bar = panel.figure.colorbar(image, ax=panel, location="top", shrink=0.9, pad=0.03)
    bar.set_label(label)
    bar.ax.locator_params(nbins=4)
    bar.ax.ticklabel_format(scilimits=(-3, 4))
    bar.outline.set_visible(False)
    panel.grid(False)
    panel.set_xlabel(f"{plane.names[0]}   ({plane.title})" if plane.title else plane.names[0])
    panel.set_ylabel(plane.names[1])


def lines(found: Lines, scattered: Scattered | None, name: str) -> str:
    """u along lines with the exact one beside it; and predicted against exact values."""
    columns = 1 if scattered is None else 2
    width = {"width_ratios": [2, 1]} if scattered else {}
    with _figure(name, (_WIDTH, 3.4), 1, columns, **width) as (figure, axes, finish):
        panel = axes[0][0]
        for number, u in enumerate(found.u):
            panel.plot(found.position, u, color=f"C{number}")
            if found.exact is not None:
                panel.plot(found.position, found.exact[number], "--", color=f"C{number}")
        panel.set(xlabel=found.name, ylabel="u")
        if scattered is not None:
            panel = axes[0][1]
            ends = [scattered.exact.min(), scattered.exact.max()]
            panel.plot(ends, ends, color=_INK, linewidth=0.8)
            panel.plot(scattered.exact, scattered.u, ".", markersize=3, color="C0", alpha=0.7)
            panel.set(xlabel="u, exact", ylabel="u, predicted")
        if found.exact is not None:
            handles = [Line2D([], [], color=_INK, linestyle=style) for style in ("-", "--")]
            _legend(figure, handles, ["predicted", "exact"])
        return finish()


@contextmanager
def _figure(
    name: str, size: tuple[float, float], rows: int, columns: int, **ratios: Any
) -> Iterator[tuple[Figure, Any, Callable[[], str]]]:
    """A figure with its rows of axes, and the function that makes an SVG of it."""
    style: Any = {**_STYLE, "svg.hashsalt": name}
    with matplotlib.rc_context(style):
        figure, axes = plt.subplots(
            rows, columns, figsize=size, layout="constrained", squeeze=False, gridspec_kw=ratios
        )

        def finish() -> str:
            text = io.StringIO()
            figure.savefig(text, format="svg", metadata=_NO_METADATA)
            return _for_a_page(text.getvalue(), name)

        try:
            yield figure, axes, finish
        finally:
            plt.close(figure)


def _for_a_page(svg: str, name: str) -> str:
    """The element alone, in the colour of the page's text, with no ids but those it refers to."""
    element = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    referred = {target[1] for target in re.finditer(r'(?:href="#|url\(#)([^")]+)', element)}
    element = re.sub(r' id="([^"]*)"', lambda id: id[0] if id[1] in referred else "", element)
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", element)


class _Plain(LogFormatter):
    """Figures as tables have them, where logarithms have a tick worth a label."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return figure_of(float(x)) if super().__call__(x, pos) else ""


def _logarithmic(panel: Axes) -> None:
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter(_Plain())
    panel.yaxis.set_minor_formatter(_Plain(minor_thresholds=(1, 0.4)))


def _points(
    rows: Sequence[dict[str, float]], along: str, key: str
) -> tuple[list[float], list[float]]:
    known = [row for row in rows if row.get(along) is not None and row.get(key) is not None]
    every = -(-len(known) // _MOST_POINTS) or 1
    thinned = known[::-1][::every][::-1]
    return [row[along] for row in thinned], [row[key] for row in thinned]


def _colors(names: Sequence[str]) -> dict[str, str]:
    return {name: f"C{number % len(_COLORS)}" for number, name in enumerate(dict.fromkeys(names))}


def _legend(figure: Figure, handles: Sequence[Line2D], labels: Sequence[str]) -> None:
    # A user's text is no formula.
    plain = [label.replace("$", r"\$") for label in labels]
    widest = _LEGEND_LINE + _LEGEND_LETTER * max(map(len, labels), default=0)
    columns = max(1, int(figure.get_figwidth() / widest))
    if labels:
        figure.legend(handles, plain, loc="outside lower center", ncols=min(columns, len(labels)))
