"""The run directory: what is in it, and how it is read back.

config.yaml     the configuration, every default filled in
asked.yaml      the one that was typed, where a race has chosen another
metrics.jsonl   a JSON object a line: the step and the figures of that moment
summary.json    status, final figures, environment
attempts.json   when a process was at work on it, and how that ended
checkpoints/    one directory a saved step, in orbax's format
console.log     what was shown
report.html     a page with curves and pictures, where it was asked for
.lock           locked while a process is at work; the first file that is made
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from stde_cli.runs import attempts
from stde_cli.runs.summary import Summary
from stde_cli.system.errors import UsageError
from stde_cli.system.files import (
    PARTIAL,
    json_text,
    missing_directories,
    remove_empty,
    write_atomically,
)

_LOCK = ".lock"
_WHOLE = ("config.yaml", "asked.yaml", "metrics.jsonl", "summary.json")
_WRITTEN = (*_WHOLE, attempts.FILE)
_OURS = frozenset((_LOCK, "checkpoints", "console.log", "report.html", "wandb", "wandb_id")).union(
    _WRITTEN, (name + PARTIAL for name in _WRITTEN)
)
"""All that this program puts into a run directory; the rest is the user's."""

# `at_work` takes the lock for a moment, which is no reason to refuse a run.
_LOOKS, _SECONDS_BETWEEN_LOOKS = 5, 0.02


class RunDirectory:
    """A directory that holds one run."""

    def __init__(self, path: Path):
        self.path = path
        self._made: list[Path] = []
        self.config = path / "config.yaml"
        self.asked = path / "asked.yaml"
        self.metrics = path / "metrics.jsonl"
        self.summary = path / "summary.json"
        self.checkpoints = path / "checkpoints"
        self.console_log = path / "console.log"
        self.report = path / "report.html"

    @classmethod
    def create(cls, path: Path) -> "RunDirectory":
        """Make the directory; parents too. What a run left that never began is taken over.

        Raises:
            UsageError: it holds a run, or files of the user's, or cannot be made.
        """
        run = cls(path)
        run._made = missing_directories(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            run.refuse_if_taken()
        except OSError as error:
            remove_empty(run._made)
            raise _unwritable(path, error) from error
        return run

    @classmethod
    def create_named(cls, parent: Path, name: str) -> "RunDirectory":
        """Make a new directory under `parent`, numbered where the name is taken.

        Runs may start in the same second: who makes the directory has it.

        Raises:
            UsageError: `parent` cannot be written to.
        """
        try:
            for number in count():
                run = cls(parent / (f"{name}-{number}" if number else name))
                run._made = missing_directories(run.path)
                parent.mkdir(parents=True, exist_ok=True)
                # The parent was empty, and its maker has removed it again: once more.
                with suppress(FileExistsError, FileNotFoundError):
                    run.path.mkdir()
                    return run
        except OSError as error:
            raise _unwritable(parent, error) from error
        raise AssertionError("unreachable")

    @classmethod
    def open(cls, path: Path) -> "RunDirectory":
        """The run at `path`.

        Raises:
            UsageError: there is no such directory, or what it holds is no run of this program.
        """
        if not path.is_dir():
            raise UsageError("RUN", path, "no such directory", "runs are kept under runs/")
        run = cls(path)
        missing = [f.name for f in (run.config, run.summary) if not f.is_file()]
        if missing:
            why = f"not a run of stde: {' and '.join(missing)} missing"
            raise UsageError("RUN", path, why, "give the directory that stde solve printed")
        return run

    def read_summary(self) -> Summary:
        """summary.json.

        Raises:
            UsageError: it is not the file that was written.
        """
        try:
            summary = json.loads(self.summary.read_text())
        except (OSError, ValueError) as error:
            raise UsageError("RUN", self.path, f"summary.json cannot be read ({error})") from error
        if not isinstance(summary, dict) or "status" not in summary:
            raise UsageError("RUN", self.path, "summary.json is not one of stde's")
        try:
            # The directory may have been moved.
            return Summary.from_dict(summary | {"run_dir": str(self.path)})
        except ValidationError as error:
            place = ".".join(map(str, error.errors()[0]["loc"]))
            why = f"summary.json is not one of stde's: {place} is no such value"
            raise UsageError("RUN", self.path, why) from error

    def write_summary(self, summary: Summary) -> None:
        """Replace summary.json as a whole: a reader never sees half of it."""
        text = json_text(summary.as_dict(), indent=2)
        write_atomically(self.summary, text + "\n")

    def write_config(self, text: str) -> None:
        write_atomically(self.config, text)

    def write_asked(self, text: str) -> None:
        write_atomically(self.asked, text)

    def append_metrics(self, figures: dict[str, float]) -> None:
        with self.metrics.open("a") as file:
            file.write(json_text(figures) + "\n")

    def read_metrics(self) -> list[dict[str, float]]:
        if not self.metrics.exists():
            return []
        rows = []
        for line in self.metrics.read_text(errors="replace").splitlines():
            # A process that was killed may have left its last line torn.
            with suppress(ValueError):
                row = json.loads(line)
                if isinstance(row, dict) and isinstance(row.get("step"), int):
                    rows.append(row)
        return rows

    def forget_metrics_after(self, step: int) -> None:
        """Drop the lines of steps that a resumed run will take again."""
        if not self.metrics.exists():
            return
        kept = [json.dumps(row) + "\n" for row in self.read_metrics() if row["step"] <= step]
        write_atomically(self.metrics, "".join(kept))

    def newest_checkpoint(self) -> int | None:
        """The step of it."""
        if not self.checkpoints.is_dir():
            return None
        steps = (int(p.name) for p in self.checkpoints.iterdir() if p.name.isdigit())
        return max(steps, default=None)

    def has_checkpoint(self) -> bool:
        return self.newest_checkpoint() is not None

    def has_progress(self) -> bool:
        """Whether there is anything to lose: a checkpoint, or figures."""
        return self.has_checkpoint() or (self.metrics.exists() and self.metrics.stat().st_size > 0)

    def refuse_if_taken(self) -> None:
        """
        Raises:
            UsageError: there is progress in the directory, or what this program did not write.
        """
        if self.has_progress():
            why = "the directory holds a run already"
            raise UsageError("run_dir", self.path, why, "choose another, or add resume=auto")
        names = {entry.name for entry in self.path.iterdir()}
        # The lock is made before all else and removed after it: without it, a file is no run's.
        if strangers := sorted(names - _OURS if _LOCK in names else names):
            others = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
            why = f"the directory is not empty: it holds {strangers[0]}{others}"
            raise UsageError("run_dir", self.path, why, "choose another")

    def clear(self) -> None:
        """Remove what this program wrote, but for the lock; nothing else."""
        for name in _OURS - {_LOCK}:
            entry = self.path / name
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove a run that never began; a directory that was there before stays."""
        self.clear()
        (self.path / _LOCK).unlink(missing_ok=True)
        # Files of the user's may have come in the meantime, and other runs.
        remove_empty(self._made)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the directory. A lock ends with its process, in any case.

        Raises:
            UsageError: one is at work in it, or it cannot be written to.
        """
        file = self._lock()
        if file is None:
            why = "another process is at work in it"
            raise UsageError("run_dir", self.path, why, "wait for it, or choose another")
        with file:
            yield

    def _lock(self) -> IO[str] | None:
        """The open lock file, or None where another process holds it."""
        path = self.path / _LOCK
        try:
            for _ in range(_LOOKS):
                file = path.open("a")
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    # Who held it may have removed the file: this one keeps nobody out, then.
                    if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                        return file
                except BlockingIOError:
                    time.sleep(_SECONDS_BETWEEN_LOOKS)
                file.close()
        except OSError as error:
            raise _unwritable(self.path, error) from error
        return None

    def at_work(self) -> bool:
        """Whether a process is at work in the directory, now."""
        with suppress(FileNotFoundError), (self.path / _LOCK).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


def _unwritable(path: Path, error: OSError) -> UsageError:
    why = f"cannot be written to ({error.strerror})"
    return UsageError("run_dir", path, why, "choose another")
