"""Files that are written as a whole or not at all, and directories made for a purpose."""

import errno
import json
import math
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

PARTIAL = ".partial"
"""Ends the name of a file that is being written."""


def reserve(file: IO, size: int) -> None:
    """Give the open `file` room for `size` bytes, so that writing them cannot fail for lack of it.

    Raises:
        OSError: they cannot be written: a full disk, a quota, a limit.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    elif shutil.disk_usage(file.fileno()).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def missing_directories(path: Path) -> list[Path]:
    """Those that would be made for `path`, itself first, then its parents."""
    return [each for each in (path, *path.parents) if not os.path.lexists(each)]


def remove_empty(directories: Iterable[Path]) -> None:
    """Remove directories, in this order, but for those that hold something."""
    for each in directories:
        with suppress(OSError):
            each.rmdir()


def json_text(value: Any, *, indent: int | None = None) -> str:
    """`value` as JSON. It has no word for what is not finite: null stands for it."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_finite(entry) for entry in value]
    return value


def write_atomically(path: Path, text: str) -> None:
    """Replace the file as a whole: a reader never sees half of it."""
    partial = path.with_name(path.name + PARTIAL)
    try:
        partial.write_text(text)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
