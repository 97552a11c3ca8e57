"""The attempts at a run: a job that is preempted or whose node dies makes several.

attempts.json holds them, the oldest first: when each began and at which step, in which Slurm job
and where, and how it ended. One that was killed has no end.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from stde_cli.runs.summary import FAILED
from stde_cli.system.files import json_text, write_atomically

FILE = "attempts.json"

REQUEUED, CANCELLED = "requeued", "cancelled"
"""How an attempt ends beside the ways in which a run does."""


@dataclass
class Attempt:
    """One time that a process was at work on a run."""

    begun: float
    """Seconds since the epoch."""
    from_step: int
    job: str | None = None
    """Slurm's number of it."""
    node: str | None = None
    ended: float | None = None
    how: str | None = None
    """finished, failed, interrupted, requeued, or cancelled by a person; None: killed, or at work.
    """
    step: int | None = None
    """The last one taken."""
    by: str | None = None
    """The signal."""
    seconds_to_save: float | None = None
    """From the signal until the state was saved."""


class Attempts:
    """The record of a run's attempts; each change is on the disk at once."""

    def __init__(self, run: Path):
        self._file = run / FILE
        self.all: list[Attempt] = _read(self._file)

    def begin(self, from_step: int, job: str | None, node: str | None) -> None:
        self.all.append(Attempt(time.time(), from_step, job, node))
        self._write()

    def end(self, how: str, step: int, by: str | None = None, saved: float | None = None) -> None:
        last = self.all[-1]
        last.ended, last.how, last.step, last.by = time.time(), how, step, by
        last.seconds_to_save = saved
        self._write()

    def withdraw(self) -> None:
        """The last one was none of the run's."""
        self.all.pop()
        self._write()

    def end_otherwise(self, how: str) -> None:
        """The last attempt has ended, and what became of it is known by now."""
        if self.all:
            self.all[-1].how = how
            self._write()

    def _write(self) -> None:
        write_atomically(
            self._file, json_text([asdict(each) for each in self.all], indent=1) + "\n"
        )


def _read(file: Path) -> list[Attempt]:
    try:
        found = json.loads(file.read_text())
        known = {field.name for field in fields(Attempt)}
        return [Attempt(**{k: v for k, v in row.items() if k in known}) for row in found]
    except (OSError, ValueError, TypeError, AttributeError):
        # None, or not whole: the record is no reason to refuse a run.
        return []


def futile(attempts: Sequence[Attempt], newest: int) -> str | None:
    """Why another attempt, from the checkpoint of step `newest` or 0, is not worth it.

    None where it is: unless the last two failed at the same step, or began at `newest` and saved
    nothing beyond it. What a person ended says nothing.
    """
    told = [each for each in attempts if not _by_a_person(each)][-2:]
    if len(told) < 2:
        return None
    if all(each.how == FAILED for each in told) and told[0].step == told[1].step:
        return f"it failed twice at step {told[0].step}"
    if all(each.from_step == newest for each in told):
        return f"two attempts ended without a save beyond step {newest}"
    return None


def _by_a_person(attempt: Attempt) -> bool:
    return attempt.how == CANCELLED or attempt.by in ("SIGINT", "SIGHUP")


def preempted(attempts: Sequence[Attempt]) -> int:
    """How often the run was put back into the queue: by itself, or by Slurm when a node died."""
    again = attempts[:-1] if attempts and attempts[-1].how is None else attempts
    return sum(
        each.how == REQUEUED or (each.how is None and each.job is not None) for each in again
    )
