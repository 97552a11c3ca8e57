"""Compiling, which takes from seconds to minutes, and can be left at once."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

_SECONDS_BETWEEN_LOOKS = 0.05

T = TypeVar("T")


def compiled(compile_it: Callable[[], T], between: Callable[[], None] | None) -> T:
    """What `compile_it` gives. `between` is called while it is at work, and may raise.

    Python sees no signal while its main thread is in XLA, so that is left to another. What is left
    goes on until the process ends.
    """
    if between is None:
        return compile_it()
    found: Future[T] = Future()

    def work() -> None:
        try:
            found.set_result(compile_it())
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    while True:
        between()
        with suppress(TimeoutError):
            return found.result(_SECONDS_BETWEEN_LOOKS)
