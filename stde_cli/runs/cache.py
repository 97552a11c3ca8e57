"""What was computed before, in the user's cache directory, by what it was computed from."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from stde_cli.system.files import json_text, write_atomically


class Cache:
    """Mappings by mappings, each in a JSON file of its own. What cannot be read is not there.

    Args:
        kind: the name of their directory.
    """

    def __init__(self, kind: str):
        given = os.environ.get("XDG_CACHE_HOME", "")
        # A relative one is to be ignored, by the XDG base directory specification.
        base = Path(given) if Path(given).is_absolute() else Path.home() / ".cache"
        self._directory = base / "stde" / kind

    def path(self, key: dict[str, Any]) -> Path:
        text = json.dumps(key, sort_keys=True, default=str)
        return self._directory / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"

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
