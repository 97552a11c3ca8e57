"""Room on disk, and directories that are made for a purpose."""

import errno
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO


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
