"""Where people read: output that may go away, and what draws itself on a terminal."""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Any, TypeVar, cast

from rich.console import Console, RenderableType
from rich.live import Live


class Screen:
    """Output that may go away: `| head`, a pager that is closed, a terminal that is lost.

    The work goes on then, and what would be shown is lost.
    """

    def __init__(self, *, error: bool = False) -> None:
        self._file = sys.stderr if error else sys.stdout

    def write(self, text: str) -> int:
        with self._unless_gone():
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with self._unless_gone():
            self._file.flush()

    @contextmanager
    def _unless_gone(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            # For all who print, and for the flush at the end of the process.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._file.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def screen(*, error: bool = False) -> Console:
    # A notebook gets plain lines too, not a piece of HTML for each.
    file = cast(IO[str], Screen(error=error))
    return Console(file=file, highlight=False, soft_wrap=True, force_jupyter=False)


View = TypeVar("View", bound="LiveView")


class LiveView(ABC):
    """What draws itself a few times a second on a terminal; elsewhere its user prints lines.

    Args:
        alone: whether nobody else prints on the same screen.
    """

    def __init__(self, console: Console, *, alone: bool = True):
        self._console = console
        # FORCE_COLOR asks for colours in a file, not for a view that draws over itself.
        self._is_live = alone and console.is_interactive and console.file.isatty()
        self._live: Live | None = None

    def __enter__(self: View) -> View:
        if self._is_live and self._live is None:
            self._live = Live(
                get_renderable=self._render,
                console=self._console,
                refresh_per_second=4,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    @abstractmethod
    def _render(self) -> RenderableType:
        """What is drawn at this moment."""


def duration(seconds: float) -> str:
    """As minutes:seconds, with hours before them where there are any."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
