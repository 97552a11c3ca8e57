"""Signals that ask a process to end: noted, so that work is saved first."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""A person's, a scheduler's, a lost terminal's; Slurm sends SIGUSR1 or 2 ahead of a time limit."""

_SECONDS_BETWEEN_LOOKS = 0.2


class Interrupts:
    """Within the context, `SIGNALS` are noted instead of ending the process.

    A second one of the same kind takes its usual effect, unless there is a process above that
    passes them on. What is ignored (`nohup`, a script's job
    in the background) stays ignored. Another handler than Python's own, such as that by which
    submitit sends a job to the queue again, has its turn after the context.

    Attributes:
        received: the first signal that came.
        received_at: when, by `time.monotonic`.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.received_at: float | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._mask: set[int] | None = None

    def __enter__(self) -> "Interrupts":
        # Only the main thread may set handlers; elsewhere signals are its business.
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if handler not in (signal.SIG_IGN, None):
                    self._previous[number] = handler
                    signal.signal(number, self._note)
            # Processes of a sweep begin with their signals blocked, until here.
            self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if self._mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        if self.received and _is_foreign(self._previous[self.received]):
            signal.raise_signal(self.received)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.received is None:
            self.received, self.received_at = signal.Signals(number), time.monotonic()
        # A process of a sweep gets Ctrl-C twice: from the terminal, and passed on.
        if not self._mask or number not in self._mask:
            signal.signal(number, self._previous[signal.Signals(number)])


def _is_foreign(handler: object) -> bool:
    return callable(handler) and handler is not signal.default_int_handler


class PassedOn:
    """Within the context, signals go to the processes of `children()`, and this one waits for them.

    The signals are blocked here, and so in the processes that are started meanwhile: none is ended
    by a signal before it is ready for it, which it is within `Interrupts`. A second signal is
    passed on as well, and then ends this process.

    Attributes:
        received: the signal that came.
    """

    def __init__(self, children: Callable[[], Iterable[int]]):
        self.received: signal.Signals | None = None
        self._children = children
        self._signals = [n for n in SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
        self._previous: dict[signal.Signals, Any] = {}
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> "PassedOn":
        # Python writes the number of each signal to it, whatever the main thread is waiting for.
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        for number in self._signals:
            self._previous[number] = signal.signal(number, lambda *_: None)
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno())
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.send(_OVER)
        self._thread.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    def _listen(self) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._signals)
        if (first := self._reader.recv(1)) == _OVER:
            return
        self.received = signal.Signals(first[0])
        self._reader.settimeout(_SECONDS_BETWEEN_LOOKS)
        told = set[int]()
        while True:
            # Some may be about to start.
            told |= _tell(set(self._children()) - told, first[0])
            with suppress(TimeoutError):
                if (second := self._reader.recv(1)) == _OVER:
                    return
                _tell(told, second[0])
                os._exit(128 + second[0])


_OVER = bytes(1)
"""No signal has this number."""


def _tell(processes: set[int], number: int) -> set[int]:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)
    return processes
