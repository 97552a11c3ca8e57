"""Signals to a sweep whose jobs run side by side, in processes of this machine."""

import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from stde_cli.system.errors import Interrupted
from stde_cli.system.interrupts import PassedOn

stopped = threading.Event()
"""Set in a process of a sweep that was interrupted: it takes up no more jobs."""


class PassSignalsOn(Callback):
    """Called by Hydra at the start of a sweep (`hydra.callbacks`), once the launcher is known."""

    begun: ClassVar[tuple[PassedOn, str] | None] = None
    """What passes the signals on, and the sweep's directory."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        if "joblib" in config.hydra.launcher._target_:
            PassSignalsOn.begun = PassedOn(_children).__enter__(), config.hydra.sweep.dir


@contextmanager
def signals_passed_on() -> Iterator[None]:
    """
    Raises:
        Interrupted: a signal came, and the jobs have stopped.
    """
    try:
        yield
    finally:
        begun, PassSignalsOn.begun = PassSignalsOn.begun, None
        if begun:
            relay, directory = begun
            relay.__exit__()
            if number := relay.received:
                raise Interrupted(
                    f"stopped by {number.name}, what was trained is saved; go on with: "
                    f"the same command, hydra.sweep.dir={directory} and resume=auto",
                    number,
                )


def _children() -> list[int]:
    return [child.pid for child in multiprocessing.active_children() if child.pid]
