"""Room on disk."""

import errno
import os
import shutil
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
