"""Who is at work on a study: a file a process, locked as long as it lives.

Locks end with their process, whatever ends it; on a shared file system too.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO

_TURN = "turn"


class Processes:
    """The processes that ever were at work on a study, this one among them.

    Attributes:
        number: how many there were before this one.
    """

    def __init__(self, directory: Path):
        """
        Raises:
            OSError: the directory cannot be written to.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        for self.number in count():
            try:
                self._own = (directory / str(self.number)).open("x")
                break
            except FileExistsError:
                continue
        fcntl.flock(self._own, fcntl.LOCK_EX)

    def is_alive(self, number: int) -> bool:
        if number == self.number:
            return True
        try:
            with (self._directory / str(number)).open() as file:
                return not _free(file)
        except FileNotFoundError:
            return False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Within the context no other process asks for trials, or gives some up."""
        with (self._directory / _TURN).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def leave(self) -> None:
        self._own.close()


def _free(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
