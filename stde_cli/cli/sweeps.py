"""What becomes of a sweep's jobs: told together at its end, signals passed on to those at work."""

import math
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from stde_cli.config.sweeps import LOCK, lock
from stde_cli.runs.sweep import RECORD
from stde_cli.system.errors import Interrupted, StdeError, SweepFailed, UsageError
from stde_cli.system.files import missing_directories, remove_empty
from stde_cli.system.interrupts import PassedOn


class Stopped:
    """A process of a sweep that was interrupted takes up no more jobs."""

    by: ClassVar[int | None] = None
    """The signal that came."""


class Sweep:
    """A sweep at work: what passes signals on to its jobs, and the directories made for it.

    Attributes:
        left: its jobs are at work elsewhere, and nobody waits for them.
        tells_itself: the sweeper says what became of its jobs: of a study, some may fail.

    Raises:
        UsageError: another is at work in the directory, or it cannot be written to.
    """

    def __init__(self, directory: Path, *, side_by_side: bool):
        self.directory, self.left = directory, False
        self.tells_itself = False
        self._made = missing_directories(directory)
        self._recorded = (directory / RECORD).exists()
        self._lock = lock(directory)
        self.relay = None
        if side_by_side:
            # Python starts it with signals unblocked, and leaves them so here: before they are
            # blocked, for the processes of the jobs must begin with them blocked.
            resource_tracker.ensure_running()
            self.relay = PassedOn(_children).__enter__()

    def leave(self) -> None:
        """Pass no more signals on; remove the directory of a sweep none of whose jobs began."""
        if self.relay:
            self.relay.__exit__()
        if not self._recorded and set(_names(self.directory)) == {RECORD, LOCK}:
            (self.directory / RECORD).unlink()
        (self.directory / LOCK).unlink(missing_ok=True)
        self._lock.close()
        remove_empty(self._made)


class Begin(Callback):
    """Called by Hydra at the start of a sweep (`hydra.callbacks`), once the launcher is known.

    Launchers send callbacks to the jobs' processes: the sweep is none of their attributes.
    """

    sweep: ClassVar[Sweep | None] = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        side_by_side = "joblib" in config.hydra.launcher._target_
        try:
            Begin.sweep = Sweep(Path(config.hydra.sweep.dir), side_by_side=side_by_side)
        except UsageError as refused:
            # Hydra passes over what a callback raises, but for this.
            raise _Refused(refused) from refused


class _Refused(BaseException):
    """A sweep does not begin."""

    def __init__(self, why: UsageError):
        self.why = why


@contextmanager
def told_together() -> Iterator[None]:
    """Within the context a command runs, which may be a sweep.

    Raises:
        Interrupted: a signal came, and the jobs have stopped.
        UsageError: it is a sweep of no jobs.
        SweepFailed: jobs failed or did not finish, the others have run.
    """
    lost: dict[int, StdeError] = {}
    ended = 0

    def value(result: JobReturn) -> Any:
        nonlocal ended
        ended += 1
        error = result._return_value
        if result.status is not JobStatus.FAILED:
            return error
        if Begin.sweep is None or not isinstance(error, StdeError):
            raise error
        # Hydra would print the job's overrides, and raise the first failure alone.
        assert result.hydra_cfg is not None
        lost[result.hydra_cfg.hydra.job.num] = error
        return math.nan

    in_place_of_hydras = property(value, JobReturn.return_value.fset)
    try:
        with mock.patch.object(JobReturn, "return_value", in_place_of_hydras):
            yield
    except _Refused as refusal:
        raise refusal.why from None
    finally:
        sweep, Begin.sweep = Begin.sweep, None
        if sweep:
            sweep.leave()
            if sweep.relay and (number := sweep.relay.received):
                raise Interrupted(
                    f"stopped by {number.name}, what was trained is saved; go on with: "
                    f"the same command, hydra.sweep.dir={sweep.directory} and resume=auto",
                    number,
                )
    if sweep and sweep.tells_itself:
        return
    if sweep and not ended and not sweep.left:
        raise UsageError("-m", None, "there is no job in this sweep", "give a key several values")
    if sweep and lost:
        raise _failure(sweep, lost)


def _failure(sweep: Sweep, lost: dict[int, StdeError]) -> SweepFailed:
    stopped = [number for number, error in lost.items() if isinstance(error, Interrupted)]
    failed = [number for number in lost if number not in stopped]
    parts = [
        f"{_jobs(numbers)} of the sweep {what}"
        for numbers, what in ((failed, "failed"), (stopped, "did not finish"))
        if numbers
    ]
    message = ", ".join(parts)
    if stopped:
        message += f"; go on with: the same command, hydra.sweep.dir={sweep.directory} and "
        message += "resume=auto"
    first = lost[failed[0] if failed else stopped[0]]
    return SweepFailed(message, first.status)


def _jobs(numbers: list[int]) -> str:
    *others, last = map(str, numbers)
    return f"jobs {', '.join(others)} and {last}" if others else f"job {last}"


def _names(directory: Path) -> list[str]:
    return [each.name for each in directory.iterdir()] if directory.is_dir() else []


def _children() -> list[int]:
    return [child.pid for child in multiprocessing.active_children() if child.pid]
