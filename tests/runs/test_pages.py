"""Pages and the pictures in them, from figures alone."""

import re
from collections import Counter
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from stde_cli.runs.reporting import pictures
from stde_cli.runs.reporting.pages import Picture, Section, page
from stde_cli.runs.reporting.panels import Panel, Series
from stde_cli.runs.reporting.pictures import Curve, Lines, Plane, Scattered
from stde_cli.runs.reporting.tables import Column, Table, written

HOSTILE = "<script>alert('x')</script> & $x^2$ \"q\""
ROWS = [{"step": k, "seconds": k / 2, "loss": 1 / k} for k in range(1, 900)]
ROWS[10]["rel_l2_error"] = 0.5
SIDE = np.linspace(-1, 1, 9)
DISK = np.where(SIDE[:, None] ** 2 + SIDE**2 <= 1, SIDE, np.nan)
PLANE = Plane(("x", "y"), (SIDE, SIDE), DISK, 0 * DISK, "t = 0.5")
ALONG = np.stack([SIDE, SIDE**2])
HELD_AGAINST = Series(HOSTILE, [10], [2.0], "published")
PICTURES = {
    "training": pictures.training([Curve(HOSTILE, ROWS), Curve("b", ROWS, False)], 0.3, "p1"),
    "without errors": pictures.training([Curve("a", [{"step": 1, "loss": 2.0}])], None, "p2"),
    "growth": pictures.log_log(
        [
            Panel("dimension", "speed", [Series("a", [10, 1000], [50.0, 0.5])]),
            Panel("dimension", "MB", [Series("a", [10, 1000], [1e3, None]), HELD_AGAINST]),
        ],
        "p3",
    ),
    "plane": pictures.planes([PLANE, PLANE], "p4"),
    "no solution": pictures.planes([PLANE._replace(exact=None)], "p5"),
    "lines": pictures.lines(Lines("x", SIDE, ALONG, ALONG), Scattered(SIDE, SIDE), "p6"),
    "a line": pictures.lines(Lines("x", SIDE, ALONG[:1], None), None, "p7"),
}


class Page(HTMLParser):
    """What is in a page: its tags in order, its ids, what it refers to; it must close its tags."""

    VOID = ("meta", "link", "br", "img", "input", "hr")

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.ids, self.references = Counter(), Counter(), []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for key, value in attrs:
            assert not key.startswith("on")
            if key == "id":
                self.ids[value] += 1
            if key in ("src", "href", "xlink:href"):
                self.references.append(value)
            self.references += re.findall(r"url\((.*?)\)", value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def check_page(text: str) -> Page:
    """It stands alone: it refers to itself only, by ids that it has once."""
    found = Page(text)
    assert max(found.ids.values()) == 1
    for reference in found.references:
        assert reference.startswith("data:image/png;base64,") or reference[1:] in found.ids
    assert not {"script", "link", "iframe", "img"} & set(found.tags)
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    return found


@pytest.mark.parametrize("svg", PICTURES.values(), ids=PICTURES)
def test_a_picture_is_an_element_in_the_ink_of_its_page(svg: str) -> None:
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    assert "currentColor" in svg
    assert not re.search(r"fill: ?#000000|stroke: ?#000000|#0a0b0c", svg)


def texts(name: str) -> list[str]:
    return ["".join(e.itertext()) for e in ElementTree.fromstring(PICTURES[name]).iter() if e.text]


def test_pictures_say_in_words_what_they_show() -> None:
    assert {"step", "seconds", "loss", "relative L2 error", "trivial baseline", HOSTILE} <= {
        text.strip() for text in texts("training")
    }
    assert "dotted: not finished" in PICTURES["training"]
    assert "relative L2 error" not in PICTURES["without errors"]
    for text in ("u, predicted", "u, exact", "error: predicted − exact", "t = 0.5"):
        assert text in PICTURES["plane"]
    assert "exact" not in PICTURES["no solution"]
    assert {"1K", "speed", "published"} <= {text.strip() for text in texts("growth")}


def test_a_legend_of_long_names_is_within_its_picture() -> None:
    series = [Series(f"a method of a long name, {k}", [10, 100], [1.0, 2.0]) for k in range(9)]
    for panels in (1, 3):
        root = ElementTree.fromstring(pictures.log_log([Panel("x", "y", series)] * panels, "p"))
        width = float(root.attrib["viewBox"].split()[2])
        names = [e for e in root.iter() if (e.text or "").startswith("a method")]
        places = [float(e.attrib["x"]) for e in names]
        assert len(places) == 9
        assert min(places) > 0
        assert max(places) < width - 100


def test_an_indented_cell_stays_so() -> None:
    table = Table((Column("", numeric=False),), (("a method",), ("  published",)))
    for format in ("html", "markdown"):
        assert "\xa0\xa0published" in written(table, format)


def test_long_curves_are_thinned() -> None:
    x, y = pictures._points(ROWS, "step", "loss")
    assert len(x) == 300
    assert (x[-1], y[-1]) == (899, 1 / 899)


def test_the_page_stands_alone_and_takes_words_for_words() -> None:
    table = Table((Column(HOSTILE),), ((HOSTILE,),), title=HOSTILE, notes=(HOSTILE,))
    drawn = [Picture(svg, HOSTILE) for svg in PICTURES.values()]
    sections = [Section(HOSTILE, [HOSTILE], [table], drawn), Section("empty")]
    text = page(HOSTILE, sections, HOSTILE)
    found = check_page(text)
    assert found.tags["svg"] == found.tags["figure"] == len(PICTURES)
    assert (found.tags["table"], found.tags["h2"], found.tags["h1"]) == (1, 2, 1)
    assert "<script" not in text
