"""A process of its own for each cell, so that its peak memory is that of this cell alone.

A measurement is a generator: it yields what it will do next, and returns its figures. Its process
goes on when it is told to, so that measurements may take turns on one machine.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import mkstemp
from typing import Any, NamedTuple

import jax
from omegaconf import DictConfig, OmegaConf

from stde_cli.config.build import configured_jax, refusing
from stde_cli.jobs.benchmarks.status import FAILED, OOM, TIMEOUT
from stde_cli.system.errors import DoesNotFit, StdeError, UsageError
from stde_cli.system.interrupts import SIGNALS
from stde_cli.system.resources import available_memory_bytes, limit_memory, spare_memory_bytes

Measurement = Generator[str, None, Any]
Measure = Callable[[DictConfig], Measurement]

_SECONDS_BETWEEN_LOOKS = 0.1
_LEFT_FREE = 1 / 16
"""Of the memory that is free, for the rest of the machine."""


class Unmeasured(Exception):
    """A cell cannot be measured, the others may: its row says why."""

    def __init__(self, note: str, status: str = FAILED):
        super().__init__(note, status)
        self.note, self.status = note, status


class _Turn(NamedTuple):
    next: str
    spare_bytes: int


class Child:
    """A measurement in another process, which waits until it is told to go on.

    Attributes:
        doing: what it does in its present turn, or will do in its next.
        seconds: what its turns took together.
        spare_bytes: memory that it does not hold now, but may take again.
    """

    def __init__(self, measure: Measure, config: DictConfig, *, taken_bytes: int = 0):
        """
        Args:
            taken_bytes: memory that is free now, but that others will take.
        """
        self.doing, self.seconds, self.spare_bytes = "compiling", 0.0, 0
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        descriptor, name = mkstemp()
        os.close(descriptor)
        self._said = Path(name)
        settings = OmegaConf.to_container(config, resolve=True)
        arguments = (measure, settings, theirs, self._said, taken_bytes)
        self._process = context.Process(target=_child, args=arguments)
        with _signals_held():
            self._process.start()
        theirs.close()

    def turn(self, meanwhile: Callable[[], None], limit_seconds: float | None) -> Any:
        """Let it go on until it yields; returns its figures at the end, before that None.

        Args:
            meanwhile: called now and then, and may raise.
            limit_seconds: how long all its turns may take.

        Raises:
            Unmeasured: it takes longer, does not fit this machine, or its process died.
            StdeError: what the measurement raises.
        """
        began, before = time.monotonic(), self.seconds
        with suppress(BrokenPipeError):
            self._pipe.send(None)
        while not self._pipe.poll(_SECONDS_BETWEEN_LOOKS):
            meanwhile()
            self.seconds = before + time.monotonic() - began
            if limit_seconds is not None and self.seconds > limit_seconds:
                raise Unmeasured(f"not done in {limit_seconds:g} seconds: {self.doing}", TIMEOUT)
        self.seconds = before + time.monotonic() - began
        try:
            received = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            raise self._death() from None
        if isinstance(received, Exception):
            raise received
        if not isinstance(received, _Turn):
            return received
        self.doing, self.spare_bytes = received
        return None

    def _death(self) -> Unmeasured:
        self._process.join()
        status = self._process.exitcode
        if status == -signal.SIGKILL:
            return Unmeasured("out of memory: the kernel ended its process", OOM)
        lines = [line.strip() for line in self._said.read_text(errors="replace").splitlines()]
        last = next((line for line in reversed(lines) if line), "")
        # A library that is refused memory where it cannot say so aborts.
        kind = OOM if _is_shortage("\n".join(lines)) else FAILED
        return Unmeasured(f"its process ended with status {status}: {last}".rstrip(": "), kind)

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self._pipe.close()
        self._said.unlink(missing_ok=True)


@contextmanager
def _signals_held() -> Iterator[None]:
    """A process that is started meanwhile holds them too: it cannot ignore them from the first."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _child(
    measure: Measure, settings: dict[str, Any], pipe: Connection, said: Path, taken_bytes: int
) -> None:
    # A terminal and a scheduler tell all processes; the parent ends this one.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # What libraries print would land in the middle of the parent's view.
    if "STDE_TRACEBACK" not in os.environ:
        os.dup2(os.open(said, os.O_WRONLY | os.O_APPEND), sys.stderr.fileno())
    # Nobody is there to be told where the parent was killed.
    with suppress(EOFError, BrokenPipeError):
        pipe.recv()
        pipe.send(_measured(measure, OmegaConf.create(settings), pipe, taken_bytes))


def _measured(measure: Measure, config: Any, pipe: Connection, taken_bytes: int) -> Any:
    """The figures, or the error that stands for them."""
    try:
        with configured_jax(config), refusing(config):
            _limit(taken_bytes)
            return _in_turns(measure(config), pipe)
    except Exception as error:
        if "STDE_TRACEBACK" in os.environ:
            sys.excepthook(type(error), error, error.__traceback__)
        return _told(error)


def _in_turns(measurement: Measurement, pipe: Connection) -> Any:
    while True:
        try:
            doing = next(measurement)
        except StopIteration as end:
            return end.value
        pipe.send(_Turn(doing, spare_memory_bytes()))
        pipe.recv()


def _limit(taken_bytes: int) -> None:
    """On the CPU, before it harms: a GPU's memory is not the machine's."""
    available = available_memory_bytes()
    if available is not None and jax.local_devices()[0].platform == "cpu":
        limit_memory(max(0, int(available * (1 - _LEFT_FREE)) - taken_bytes))


def _told(error: Exception) -> Exception:
    first = next(iter(str(error).splitlines()), "")
    # What is raised where objects are built has been told by the group that they are of.
    for found in (error, error.__cause__):
        if isinstance(found, Unmeasured):
            return found
    if isinstance(error, DoesNotFit) or _is_shortage(error):
        return Unmeasured(first or "out of memory", OOM)
    if isinstance(error, UsageError):
        return error
    return Unmeasured(first if isinstance(error, StdeError) else f"{type(error).__name__}: {first}")


_SHORTAGES = ("resource_exhausted", "out of memory", "bad_alloc", "t allocate memory")
"""How XLA, LLVM, C++ and PyTorch say it."""


def _is_shortage(error: BaseException | str | None) -> bool:
    if isinstance(error, MemoryError):
        return True
    cause = error.__cause__ if isinstance(error, BaseException) else None
    said = any(sign in str(error).lower() for sign in _SHORTAGES)
    return said or (cause is not None and _is_shortage(cause))
