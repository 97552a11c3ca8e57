"""The directory of a reproduction: which table it is of, and who writes what all share."""

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from stde_cli.jobs.reproduction.cells import set_aside
from stde_cli.system.errors import UsageError
from stde_cli.system.files import json_text, missing_directories, remove_empty, write_atomically

_RECORD, _RESULTS, _LOCK = "reproduction.json", "results.json", ".lock"


def is_reproduction(path: Path) -> bool:
    return (path / _RECORD).exists()


def read_results(path: Path) -> list[dict[str, Any]]:
    """The rows of results.json, a figure each; none where there is none.

    A file that is none of ours, in whole or in part, is kept aside, as results.json.damaged; the
    rows that are whole are used.
    """
    file = path / _RESULTS
    found: Any = None
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        return []
    except ValueError:
        pass
    rows = [row for row in found if _is_whole(row)] if isinstance(found, list) else []
    if rows != found:
        set_aside(file)
        if rows:
            write_results(path, rows)
    return rows


class _Row(BaseModel):
    """What a row of results.json says at least."""

    table: str
    row: str
    column: int | str
    metric: str
    commands: list[Annotated[str, Field(pattern="^stde ")]]


def _is_whole(row: object) -> bool:
    try:
        _Row.model_validate(row)
    except ValidationError:
        return False
    return True


def write_results(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write results.json; returns where it is."""
    file = path / _RESULTS
    write_atomically(file, json_text(list(rows), indent=2) + "\n")
    return file


class ReproductionDirectory:
    """reproduction.json: what is filled here; cells/: a directory each; results and tables."""

    def __init__(self, path: Path, identity: dict[str, Any]):
        """`identity` is what all cells here have in common."""
        self.path, self._identity = path, identity

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Within the context the directory is there, and is that of this reproduction.

        Raises:
            UsageError: it is another's, or cannot be written to.
        """
        made = missing_directories(self.path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.check()
            with self.locked():
                # Another may have taken it in the meantime.
                self.check()
                self._claim()
        except OSError as error:
            remove_empty(made)
            raise UsageError("reproduce.dir", self.path, f"{error.strerror}", _OTHER) from error
        try:
            yield
        finally:
            self._leave(made)

    def _leave(self, made: list[Path]) -> None:
        """Nothing stays of a directory that was made here and has no cell."""
        if made and not (self.path / "cells").exists():
            for name in (_RECORD, _LOCK):
                (self.path / name).unlink(missing_ok=True)
            remove_empty(made)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from what all of them write, for a moment."""
        with (self.path / _LOCK).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def check(self) -> None:
        """Nothing is made or written.

        Raises:
            UsageError: the directory is another's.
            OSError: it cannot be read.
        """
        record = self.path / _RECORD
        if not record.exists():
            there = self.path.iterdir() if self.path.exists() else ()
            strangers = sorted(entry.name for entry in there if entry.name != _LOCK)
            if strangers:
                why = f"holds {strangers[0]}, and no reproduction"
                raise UsageError("reproduce.dir", self.path, why, _OTHER)
            return
        try:
            found = json.loads(record.read_text())
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise UsageError("reproduce.dir", self.path, f"{_RECORD} is damaged", _OTHER)
        for key, value in self._identity.items():
            if found.get(key) != value:
                why = f"holds cells of {key}={found.get(key)}, not {value}"
                raise UsageError("reproduce.dir", self.path, why, _OTHER)

    def _claim(self) -> None:
        record = self.path / _RECORD
        if not record.exists():
            write_atomically(record, json_text(self._identity, indent=2) + "\n")


_OTHER = "choose another"
