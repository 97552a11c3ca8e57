"""Results gathered in a file, a JSON object a line, by any number of processes.

A row is on the disk once `append` returns. A line that is torn, by a kill or a disk that failed,
costs that line alone: `read` names it, keeps it in FILE.damaged, and gives the rest.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from stde_cli.system.errors import UsageError
from stde_cli.system.files import json_text, write_atomically

Row = dict[str, Any]
IsWhole = Callable[[Row], bool]

_DAMAGED = ".damaged"
_MOST_NAMED = 5


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Add `row` to the file, which is made where there is none; all of the row, or nothing.

    What is not finite becomes null.

    Raises:
        OSError: it cannot be written.
    """
    line = (json_text(dict(row)) + "\n").encode()
    with _locked(path, "a+b", fcntl.LOCK_EX) as file:
        end = file.seek(0, os.SEEK_END)
        # Who was killed in the middle of a line wrote no end to it.
        if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
            line = b"\n" + line
        try:
            while line:
                line = line[file.write(line) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise


def read(path: Path, say: Callable[[str], None], is_whole: IsWhole = bool) -> list[Row]:
    """The rows of the file, in their order; none where there is no file.

    Args:
        say: told in a line which lines are damaged, and where they are kept.
        is_whole: whether a row has what it must have; else its line is damaged. By default one
            that has anything.

    Raises:
        UsageError: what is there holds no result, whole or torn: it is another file.
        OSError: it cannot be read.
    """
    try:
        with _locked(path, "rb", fcntl.LOCK_SH) as file:
            rows, damaged = _parsed(file.read(), is_whole)
    except FileNotFoundError:
        return []
    if damaged and not rows and not any(text.startswith(b'{"') for text in damaged.values()):
        raise UsageError("file", path, "holds no results", "choose another")
    if damaged:
        say(f"{path}: {_named(list(damaged))} damaged; {_set_aside(path, is_whole)}")
    return rows


def _parsed(content: bytes, is_whole: IsWhole) -> tuple[list[Row], dict[int, bytes]]:
    """The rows, and the lines that are none by their numbers, counted from 1."""
    rows, damaged = list[Row](), dict[int, bytes]()
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        row = None
        with suppress(ValueError, RecursionError):
            row = json.loads(line)
        if isinstance(row, dict) and is_whole(row):
            rows.append(row)
        else:
            damaged[number] = line
    return rows, damaged


def _named(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"line {numbers[0]} is"
    named = ", ".join(map(str, numbers[:_MOST_NAMED]))
    more = f" and {len(numbers) - _MOST_NAMED} more" if len(numbers) > _MOST_NAMED else ""
    return f"lines {named}{more} are"


def _set_aside(path: Path, is_whole: IsWhole) -> str:
    """Move the damaged lines into the file beside this one; says what became of them."""
    aside = path.with_name(path.name + _DAMAGED)
    try:
        with _locked(path, "rb", fcntl.LOCK_EX) as file:
            rows, damaged = _parsed(file.read(), is_whole)
            with aside.open("ab") as beside:
                beside.writelines(line + b"\n" for line in damaged.values())
            write_atomically(path, "".join(json_text(row) + "\n" for row in rows))
    except OSError as error:
        return f"left there, as {aside} cannot be written ({error.strerror})"
    return f"kept in {aside}"


@contextmanager
def _locked(path: Path, mode: str, kind: int) -> Iterator[IO[bytes]]:
    while True:
        with path.open(mode, buffering=0) as file:
            fcntl.flock(file, kind)
            # Who held the lock may have put another file in this one's place.
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                yield file
                return
