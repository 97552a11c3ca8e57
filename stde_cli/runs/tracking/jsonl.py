from collections.abc import Callable
from typing import Any

from stde_cli.runs.directory import RunDirectory


class JsonlTracker:
    """A line of metrics.jsonl a call, complete once the call returns."""

    def start(self, run: RunDirectory, config: dict[str, Any], say: Callable[[str], None]) -> None:
        self._run = run
        run.metrics.touch()

    def log(self, step: int, figures: dict[str, float]) -> None:
        self._run.append_metrics({"step": step, **figures})

    def finish(self, summary: dict[str, Any]) -> None:
        pass
