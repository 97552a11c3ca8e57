"""Filling a table: its cells one after another, each as a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from stde_cli.jobs.reproduction.cells import (
    DONE,
    FAILED,
    KILLED,
    OOM,
    REFUSED,
    SOLVE,
    TOO_SLOW,
    Cell,
    Place,
    Result,
)
from stde_cli.system.errors import Interrupted, UsageError
from stde_cli.system.interrupts import Interrupts

_SECONDS_BETWEEN_LOOKS = 0.1
_SECONDS_TO_SAVE = 60.0
"""How long a command may take to end once it is told to."""

Told = Callable[[Cell, Result | None], None]
"""Called as a cell is begun, with None, and once it has ended."""


class Filling:
    """Cells in a directory, of which others may fill some at the same time."""

    def __init__(
        self,
        places: Sequence[Place],
        cells: Sequence[Cell],
        cell_seconds: float | None,
        *,
        interrupts: Interrupts,
    ):
        """`cells` are to be filled; what is known of the other places may spare one of them."""
        self.places, self.cell_seconds = places, cell_seconds
        self._wanted = {cell.name for cell in cells}
        self._interrupts = interrupts
        self._tried: set[str] = set()

    def fill(self, told: Told) -> None:
        """Fill what is empty; wait for the cells that others are at.

        Raises:
            Interrupted: a signal came. What was done is kept, the run at work is saved.
        """
        while left := self._left():
            if not [place for place in left if self._try(place, told)]:
                self._wait(_SECONDS_BETWEEN_LOOKS)

    def _left(self) -> list[Place]:
        return [
            place
            for place in self.places
            if place.cell.name in self._wanted - self._tried and not self._is_final(place.read())
        ]

    def done(self) -> dict[str, Result]:
        """What is filled already."""
        results = {p.cell.name: p.read() for p in self.places if p.cell.name in self._wanted}
        return {name: r for name, r in results.items() if r is not None and self._is_final(r)}

    def _is_final(self, result: Result | None) -> bool:
        return result is not None and result.is_final(self.cell_seconds)

    def _try(self, place: Place, told: Told) -> bool:
        """Fill the cell unless another is at it; whether it has ended."""
        with place.locked() as lock:
            if lock is None:
                return False
            # Another may have filled it in the meantime.
            if not self._is_final(place.read()):
                told(place.cell, None)
                result = self._left_by_another(place)
                result = result or self._without_trying(place) or self._run(place, lock)
                place.write(result)
                told(place.cell, result)
            self._tried.add(place.cell.name)
            return True

    def _left_by_another(self, place: Place) -> Result | None:
        """What a command found that outlived who began it."""
        found = place.found()
        return found if found is not None and found.status == DONE else None

    def _without_trying(self, place: Place) -> Result | None:
        """What the cell's measurement tells of its run: it does not fit, or takes too long."""
        measured = self._measurement_beside(place)
        if place.cell.kind != SOLVE or measured is None:
            return None
        if measured.status == OOM:
            return Result(OOM, measured.reason)
        speed = (measured.figures or {}).get("speed_it_per_s")
        steps = next(int(o[6:]) for o in place.cell.command if o.startswith("steps="))
        if self.cell_seconds is None or not speed or steps / speed <= self.cell_seconds:
            return None
        reason = f"{steps:,} steps would take {steps / speed:,.0f} s"
        return Result(TOO_SLOW, reason, limit_seconds=self.cell_seconds)

    def _measurement_beside(self, place: Place) -> Result | None:
        cell = place.cell
        for other in self.places:
            same = (other.cell.row, other.cell.column) == (cell.row, cell.column)
            if same and other.cell.kind != cell.kind:
                return other.read()
        return None

    def _run(self, place: Place, lock: IO[str]) -> Result:
        started = time.monotonic()
        with place.log.open("w") as log:
            # In a session of its own: a Ctrl-C of the terminal is passed on from here, once.
            child = subprocess.Popen(
                _command(place),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock.fileno(),),
            )
            ended = self._wait_for(child, started)
        found = place.found()
        if found is not None:
            return found
        if not ended:
            reason = f"not done in {self.cell_seconds:g} s"
            return Result(TOO_SLOW, reason, limit_seconds=self.cell_seconds)
        return _failure(child.returncode, _last_line(place.log))

    def _wait_for(self, child: subprocess.Popen, started: float) -> bool:
        """Whether the command came to its own end, and not to that of its time."""
        try:
            while child.poll() is None:
                self._wait(_SECONDS_BETWEEN_LOOKS)
                late = time.monotonic() - started
                if self.cell_seconds is not None and late > self.cell_seconds:
                    _stop(child)
                    return False
        except BaseException:
            _stop(child)
            raise
        return True

    def _wait(self, seconds: float) -> None:
        time.sleep(seconds)
        if number := self._interrupts.received:
            raise Interrupted(f"stopped by {number.name}; the same command goes on", number)


def _command(place: Place) -> list[str]:
    """The cell's command, by this very program."""
    return [sys.executable, "-P", "-m", "stde_cli", *place.command[1:]]


def _stop(child: subprocess.Popen) -> None:
    """Let a command save and end; end it where it does not."""
    # In the background of a script Ctrl-C's signal is ignored.
    for number, seconds in ((signal.SIGTERM, _SECONDS_TO_SAVE), (signal.SIGKILL, None)):
        try:
            os.killpg(child.pid, number)
            child.wait(seconds)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return


def _failure(status: int, line: str) -> Result:
    if status == -signal.SIGKILL:
        # By a person, or by the kernel for want of memory: the next call tries again.
        return Result(KILLED, "killed")
    # Both ways in which `stde solve` says that memory is short.
    if line.startswith("dim=") and "memory" in line:
        return Result(OOM, line)
    if status == UsageError.status:
        return Result(REFUSED, line)
    return Result(FAILED, line or f"ended with status {status}")


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("stde: ")]
    return (told or lines or [""])[-1].removeprefix("stde: ")[:300]
