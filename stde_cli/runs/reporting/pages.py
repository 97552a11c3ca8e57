"""A page of tables and pictures in one file: no network, no script, light or dark."""

from collections.abc import Sequence
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from stde_cli.runs.reporting.tables import Table, written


class Picture(NamedTuple):
    """
    Attributes:
        svg: an element by `pictures`, which escapes what it is given.
    """

    svg: str
    caption: str


class Section(NamedTuple):
    title: str
    texts: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()


def page(title: str, sections: Sequence[Section], foot: str) -> str:
    """The text of the page. Whatever the words are, they are text in it."""
    environment = Environment(
        loader=PackageLoader("stde_cli.runs.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["table"] = lambda table: Markup(written(table, "html"))
    environment.filters["svg"] = Markup
    template = environment.get_template("page.html")
    return template.render(title=title, sections=sections, foot=foot)
