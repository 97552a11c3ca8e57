"""What is done between the calls of the loop, one event each.

An event is called after every chunk, and says ahead of it at which step it wants to be called
next: a chunk never runs past that step.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import optax

from stde_cli.objective.at_point import AtPoint, value_at_point
from stde_cli.objective.metrics import Errors, Evaluator
from stde_cli.runs.tracking import Tracker
from stde_cli.runs.tracking.console import Progress, RunConsole
from stde_cli.system.errors import Interrupted, Pruned, RunFailed
from stde_cli.system.interrupts import Interrupts
from stde_cli.system.resources import peak_memory_mb
from stde_cli.system.types import PRNGKey
from stde_cli.training.checkpoint import Checkpoints
from stde_cli.training.loop import MAX_STEPS_PER_CALL, Chunk
from stde_cli.training.state import TrainerState


@runtime_checkable
class Event(Protocol):
    @property
    def every(self) -> int | None:
        """Steps between two chunks that end just for this event; None: any chunk will do."""
        ...

    def __call__(self, chunk: Chunk) -> None: ...


def next_event(events: Sequence[Event], step: int) -> int:
    """The first step after `step` that an event wants to see."""
    wanted = ((step // event.every + 1) * event.every for event in events if event.every)
    return min(wanted, default=step + MAX_STEPS_PER_CALL)


class CheckLoss:
    """Ends a run whose loss is not finite."""

    every = None

    def __init__(self, checkpoints: Checkpoints):
        self._checkpoints = checkpoints

    def __call__(self, chunk: Chunk) -> None:
        bad = [k for k, loss in enumerate(chunk.losses) if not math.isfinite(loss)]
        if bad:
            first = chunk.step - len(chunk.losses) + bad[0] + 1
            raise RunFailed(
                f"the loss is not finite at step {first}; {self._checkpoints.kept()}; "
                "lower optimizer.learning_rate or set train.gradient_clip"
            )


class Speed:
    """Steps a second of the steady state: the first call, which warms up, counts only alone."""

    every = None

    def __init__(self) -> None:
        self._calls, self._steps, self._seconds = 0, 0, 0.0

    def __call__(self, chunk: Chunk) -> None:
        if self._calls == 1:
            self._steps, self._seconds = 0, 0.0
        self._calls += 1
        self._steps += len(chunk.losses)
        self._seconds += chunk.seconds

    @property
    def steps_per_second(self) -> float | None:
        return self._steps / self._seconds if self._seconds else None


class Stop:
    """Saves and stops where a signal asks for it."""

    every = None

    def __init__(self, interrupts: Interrupts, checkpoints: Checkpoints, run: Path):
        self._interrupts, self._checkpoints, self._run = interrupts, checkpoints, run

    def __call__(self, chunk: Chunk) -> None:
        self.if_asked(chunk.state)

    def if_asked(self, state: TrainerState) -> None:
        """
        Raises:
            Interrupted: a signal came; the state is saved.
        """
        if signal := self._interrupts.received:
            self._checkpoints.save(state)
            raise Interrupted(
                f"stopped by {signal.name} after step {int(state.step)}, which is saved; "
                f"go on with: stde resume {self._run}",
                signal,
            )

    def before_the_first_step(self) -> None:
        if signal := self._interrupts.received:
            raise Interrupted(f"stopped by {signal.name} before the first step", signal)


class Monitor:
    """Errors in passing, on a few test points.

    Attributes:
        errors: the last ones.
        at_point: the last value where the PDE wants it.
        fresh: whether they are of the chunk's own step.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        stop: Stop,
        *,
        every: int,
        until: int,
        points: int,
        reference: float | None = None,
        key: PRNGKey,
    ):
        self.every = every
        self._evaluator, self._stop, self._until = evaluator, stop, until
        self._points, self._reference, self._key = points, reference, key
        self.errors: Errors | None = None
        self.at_point: AtPoint | None = None
        self.fresh = False

    def __call__(self, chunk: Chunk) -> None:
        # The last step has the final evaluation.
        self.fresh = chunk.step % self.every == 0 and chunk.step < self._until
        if self.fresh:
            pde = self._evaluator.residual.pde
            self.at_point = value_at_point(chunk.state.ansatz, pde, self._reference)
            try:
                self.errors = self._evaluator.errors(
                    chunk.state.ansatz,
                    self._points,
                    key=self._key,
                    between=lambda: self._stop.if_asked(chunk.state),
                )
            except Interrupted:
                # Cut short; the step is still reported, and `Stop` has its turn after that.
                self.fresh = False


class Report:
    """Shows each chunk, and hands its figures to the tracker where they are due."""

    def __init__(
        self,
        tracker: Tracker,
        console: RunConsole,
        monitor: Monitor,
        speed: Speed,
        schedule: optax.Schedule,
        seconds: Callable[[], float],
        *,
        every: int,
        steps: int,
    ):
        self.every = every
        self._tracker, self._console = tracker, console
        self._monitor, self._speed = monitor, speed
        self._schedule, self._seconds, self._steps = schedule, seconds, steps

    def __call__(self, chunk: Chunk) -> None:
        progress = Progress(
            step=chunk.step,
            steps=self._steps,
            loss=float(chunk.losses[-1]),
            learning_rate=float(np.asarray(self._schedule(chunk.step - 1))),
            steps_per_second=self._speed.steps_per_second or 0.0,
            peak_memory_mb=peak_memory_mb(),
            errors=self._monitor.errors,
            at_point=self._monitor.at_point,
            evaluated=self._monitor.fresh,
        )
        if chunk.step % self.every == 0 or chunk.step == self._steps or progress.evaluated:
            self._tracker.log(chunk.step, self._figures(progress))
        self._console.update(progress, chunk.losses.tolist())

    def _figures(self, progress: Progress) -> dict[str, float]:
        figures: dict[str, Any] = {
            "loss": progress.loss,
            "learning_rate": progress.learning_rate,
            "steps_per_second": progress.steps_per_second,
            "seconds": self._seconds(),
            "peak_memory_mb": progress.peak_memory_mb,
        }
        if progress.evaluated and progress.errors:
            figures |= progress.errors._asdict()
        if progress.evaluated and progress.at_point:
            found = progress.at_point._asdict()
            figures |= {name: value for name, value in found.items() if value is not None}
        return figures


class Save:
    """Checkpoints by the step, and by the clock."""

    def __init__(self, checkpoints: Checkpoints, *, every: int | None, minutes: float):
        self.every = every
        self._checkpoints, self._seconds = checkpoints, 60 * minutes
        self._saved_at = time.monotonic()

    def __call__(self, chunk: Chunk) -> None:
        by_step = self.every is not None and chunk.step % self.every == 0
        if by_step or time.monotonic() - self._saved_at >= self._seconds:
            self._checkpoints.save(chunk.state)
            self._saved_at = time.monotonic()


class Prune:
    """Reports a figure where errors are taken, and ends the run if its study gives it up.

    The figure is the objective of the study as it stands at that step; where it is a loss, the mean
    since the last report, which does not depend on how the steps are cut into calls.

    Args:
        report: takes the step and the figure; returns whether the run is given up.
    """

    every = None

    def __init__(
        self,
        objective: str,
        report: Callable[[int, float], bool],
        monitor: Monitor,
        checkpoints: Checkpoints,
        run: Path,
    ):
        self._objective, self._report = objective, report
        self._monitor, self._checkpoints, self._run = monitor, checkpoints, run
        self._losses: list[float] = []

    def __call__(self, chunk: Chunk) -> None:
        """
        Raises:
            Pruned: the run is given up; its state is saved.
        """
        self._losses += chunk.losses.tolist()
        if not self._monitor.fresh:
            return
        figure = self._figure()
        self._losses = []
        if math.isfinite(figure) and self._report(chunk.step, figure):
            self._checkpoints.save(chunk.state)
            raise Pruned(
                f"pruned after step {chunk.step}, where {self._objective} is {figure:.3g}, and "
                f"saved; go on with: stde resume {self._run}"
            )

    def _figure(self) -> float:
        for found in (self._monitor.errors, self._monitor.at_point):
            figure = getattr(found, self._objective, None)
            if figure is not None:
                return figure
        return float(np.mean(self._losses))
