"""What a person sees while a run goes on: a live view on a terminal, plain lines elsewhere."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stde_cli.objective.at_point import AtPoint
from stde_cli.objective.metrics import Errors
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.tracking.screen import LiveView, duration, screen

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 78
_BESIDE_SPARKLINE = 30
"""Columns of the view that its frame, a label and a figure take."""
_PLAIN_SECONDS = 10.0


@dataclass
class Progress:
    """The state of a run at one moment."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    steps_per_second: float
    peak_memory_mb: float
    errors: Errors | None = None
    at_point: AtPoint | None = None
    evaluated: bool = False
    """Whether `errors` and `at_point` are of this very step."""

    @property
    def seconds_left(self) -> float:
        return (self.steps - self.step) / self.steps_per_second


class RunConsole(LiveView):
    """Shows a run, and keeps the plain form of what it shows in console.log.

    Jobs that run side by side share a screen: each of their lines begins with the name `job`.
    """

    def __init__(self, run: RunDirectory, title: str, job: str | None = None):
        super().__init__(screen(), alone=job is None)
        self._log = run.console_log.open("a", buffering=1)
        self._title = title
        self._job = "" if job is None else f"{job}  "
        self._stage = "starting"
        self._progress: Progress | None = None
        self._losses: list[float] = []
        self._plain_at = -_PLAIN_SECONDS

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self._log.close()

    def line(self, text: str) -> None:
        """A line that stays on the screen and in the log."""
        self._print(text)
        self._log.write(text + "\n")

    def stage(self, text: str) -> None:
        """What the run is doing now."""
        self._stage = text
        if not self._is_live:
            self._print(text)
        self._log.write(text + "\n")

    def update(self, progress: Progress, losses: Sequence[float]) -> None:
        self._progress = progress
        self._stage = "training"
        self._losses.append(float(np.median(losses)))
        now = time.monotonic()
        if progress.evaluated or now - self._plain_at >= _PLAIN_SECONDS:
            self._plain_at = now
            text = _plain(progress)
            if not self._is_live:
                self._print(text)
            self._log.write(text + "\n")

    def _print(self, text: str) -> None:
        self._console.print(self._job + text, markup=False)

    def _render(self) -> Panel:
        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="dim", no_wrap=True)
        rows.add_column()
        rows.add_row("stage", self._stage)
        # A bar ends no line of its own accord; in a padding it does.
        shown: list[RenderableType] = [rows]
        if p := self._progress:
            rows.add_row("step", f"{p.step:,} of {p.steps:,}")
            left = duration(p.seconds_left)
            rows.add_row("speed", f"{p.steps_per_second:,.4g} a second, {left} left")
            room = min(self._console.width, _WIDTH) - _BESIDE_SPARKLINE
            rows.add_row("loss", f"{p.loss:.3e}  {sparkline(self._losses, room)}")
            if p.errors:
                rows.add_row("rel. L2 error", _verdict(p.errors))
            if p.at_point:
                rows.add_row("at the point", _at_point(p.at_point))
            rows.add_row("learning rate", f"{p.learning_rate:.3e}")
            rows.add_row("peak memory", f"{p.peak_memory_mb:,.0f} MB")
            shown.insert(0, Padding(ProgressBar(total=p.steps, completed=p.step), 0))
        return Panel(Group(*shown), title=Text(self._title), title_align="left", width=_WIDTH)


def sparkline(values: Sequence[float], width: int) -> str:
    """The whole course of positive values, on a logarithmic scale, within `width` characters."""
    finite = [v for v in values if np.isfinite(v) and v > 0]
    if not finite or width < 1:
        return ""
    parts = np.array_split(finite, min(len(finite), width))
    logs = np.log([np.median(part) for part in parts])
    levels = (logs - logs.min()) / max(np.ptp(logs), 1e-12) * (len(_BARS) - 1)
    return "".join(_BARS[round(level)] for level in levels)


def _verdict(errors: Errors) -> Text:
    beaten = errors.rel_l2_error < errors.trivial_rel_l2_error
    return Text.assemble(
        (f"{errors.rel_l2_error:.3e}", "bold green" if beaten else "bold yellow"),
        f"  trivial baseline {errors.trivial_rel_l2_error:.3e}",
    )


def _at_point(found: AtPoint) -> str:
    error = found.rel_error_at_point
    return f"{found.value_at_point:.6g}" + ("" if error is None else f" (off by {error:.1e})")


def _plain(p: Progress) -> str:
    parts = [
        f"step {p.step}/{p.steps}",
        f"{p.steps_per_second:.4g} steps/s",
        f"{duration(p.seconds_left)} left",
        f"loss {p.loss:.3e}",
    ]
    if p.errors:
        parts.append(
            f"rel_l2 {p.errors.rel_l2_error:.3e} (trivial {p.errors.trivial_rel_l2_error:.3e})"
        )
    if p.at_point:
        parts.append(f"u {_at_point(p.at_point)}")
    parts += [f"lr {p.learning_rate:.2e}", f"peak {p.peak_memory_mb:.0f} MB"]
    return "  ".join(parts)
