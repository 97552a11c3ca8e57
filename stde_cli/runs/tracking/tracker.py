from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from stde_cli.runs.directory import RunDirectory


@runtime_checkable
class Tracker(Protocol):
    """Receives a run's configuration, its figures step by step, and its summary.

    The lines that `start` wants shown are passed to `say`.
    """

    def start(
        self, run: RunDirectory, config: dict[str, Any], say: Callable[[str], None]
    ) -> None: ...

    def log(self, step: int, figures: dict[str, float]) -> None: ...

    def finish(self, summary: dict[str, Any]) -> None: ...


class NoTracker:
    """Keeps nothing but the run's summary and checkpoints."""

    def start(self, run: RunDirectory, config: dict[str, Any], say: Callable[[str], None]) -> None:
        pass

    def log(self, step: int, figures: dict[str, float]) -> None:
        pass

    def finish(self, summary: dict[str, Any]) -> None:
        pass


class CompositeTracker:
    """Hands everything to each of several trackers, in order."""

    def __init__(self, trackers: Sequence[Tracker]):
        self.trackers = tuple(trackers)

    def start(self, run: RunDirectory, config: dict[str, Any], say: Callable[[str], None]) -> None:
        for tracker in self.trackers:
            tracker.start(run, config, say)

    def log(self, step: int, figures: dict[str, float]) -> None:
        for tracker in self.trackers:
            tracker.log(step, figures)

    def finish(self, summary: dict[str, Any]) -> None:
        for tracker in self.trackers:
            tracker.finish(summary)
