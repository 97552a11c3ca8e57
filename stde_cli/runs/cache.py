"""What was computed before, in the user's cache directory, by what it was computed from."""

import hashlib
import json
import os
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from stde_cli.system.files import PARTIAL, json_text, write_atomically


class Cache:
    """Mappings by mappings, each in a file of its own. What cannot be read is not there.

    Of numbers and texts in JSON files, of arrays in .npz files.

    Args:
        kind: the name of their directory.
    """

    def __init__(self, kind: str):
        given = os.environ.get("XDG_CACHE_HOME", "")
        # A relative one is to be ignored, by the XDG base directory specification.
        base = Path(given) if Path(given).is_absolute() else Path.home() / ".cache"
        self._directory = base / "stde" / kind

    def path(self, key: dict[str, Any], suffix: str = ".json") -> Path:
        text = json.dumps(key, sort_keys=True, default=str)
        return self._directory / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}{suffix}"

    def get(self, key: dict[str, Any]) -> dict[str, Any] | None:
        with suppress(OSError, ValueError):
            found = json.loads(self.path(key).read_text())
            return found if isinstance(found, dict) else None
        return None

    def put(self, key: dict[str, Any], value: dict[str, Any]) -> None:
        """A directory that cannot be written to costs the time of computing anew, no more."""
        with suppress(OSError):
            self._directory.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path(key), json_text(value))

    def arrays(self, key: dict[str, Any]) -> dict[str, np.ndarray] | None:
        unreadable = suppress(OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)
        with unreadable, np.load(self.path(key, ".npz"), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
        return None

    def put_arrays(self, key: dict[str, Any], arrays: dict[str, Any]) -> None:
        """As `put`."""
        path = self.path(key, ".npz")
        partial = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")
        with suppress(OSError):
            self._directory.mkdir(parents=True, exist_ok=True)
            try:
                with partial.open("wb") as file:
                    np.savez(file, **arrays)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
