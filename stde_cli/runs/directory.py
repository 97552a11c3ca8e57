"""The run directory: what is in it, and how it is read back.

config.yaml     the configuration, every default filled in
metrics.jsonl   a JSON object a line: the step and the figures of that moment
summary.json    status, final figures, environment
checkpoints/    one directory a saved step, in orbax's format
console.log     what was shown
"""

import fcntl
import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from stde_cli.system.errors import UsageError


class RunDirectory:
    """A directory that holds one run."""

    def __init__(self, path: Path):
        self.path = path
        self._made_here = False
        self.config = path / "config.yaml"
        self.metrics = path / "metrics.jsonl"
        self.summary = path / "summary.json"
        self.checkpoints = path / "checkpoints"
        self.console_log = path / "console.log"

    @classmethod
    def create(cls, path: Path) -> "RunDirectory":
        """Make the directory; parents too.

        Raises:
            UsageError: it exists and is not empty, or cannot be written to.
        """
        run = cls(path)
        run._made_here = not path.exists()
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                what = "holds a run already" if run.config.exists() else "is not empty"
                raise UsageError(
                    "run_dir", path, f"the directory {what}", "choose another, or add resume=auto"
                )
            probe = path / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UsageError(
                "run_dir", path, f"cannot be written to ({error.strerror})", "choose another"
            ) from error
        return run

    @classmethod
    def create_named(cls, parent: Path, name: str) -> "RunDirectory":
        """Make a new directory under `parent`, numbered where the name is taken.

        Runs may start in the same second: who makes the directory has it.

        Raises:
            UsageError: `parent` cannot be written to.
        """
        try:
            parent.mkdir(parents=True, exist_ok=True)
            for number in count():
                run = cls(parent / (f"{name}-{number}" if number else name))
                with suppress(FileExistsError):
                    run.path.mkdir()
                    run._made_here = True
                    return run
        except OSError as error:
            raise UsageError(
                "run_dir", parent, f"cannot be written to ({error.strerror})", "choose another"
            ) from error
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

    def read_summary(self) -> dict[str, Any]:
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
        return summary

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Replace summary.json as a whole: a reader never sees half of it."""
        _write_atomically(self.summary, json.dumps(_as_json(summary), indent=2) + "\n")

    def write_config(self, text: str) -> None:
        _write_atomically(self.config, text)

    def append_metrics(self, figures: dict[str, float]) -> None:
        with self.metrics.open("a") as file:
            file.write(json.dumps(_as_json(figures)) + "\n")

    def read_metrics(self) -> list[dict[str, float]]:
        if not self.metrics.exists():
            return []
        rows = []
        for line in self.metrics.read_text().splitlines():
            # A process that was killed may have left its last line torn.
            with suppress(ValueError):
                rows.append(json.loads(line))
        return rows

    def forget_metrics_after(self, step: int) -> None:
        """Drop the lines of steps that a resumed run will take again."""
        kept = [json.dumps(row) + "\n" for row in self.read_metrics() if row["step"] <= step]
        _write_atomically(self.metrics, "".join(kept))

    def has_checkpoint(self) -> bool:
        return self.checkpoints.is_dir() and any(
            p.name.isdigit() for p in self.checkpoints.iterdir()
        )

    def has_progress(self) -> bool:
        """Whether there is anything to lose: a checkpoint, or figures."""
        return self.has_checkpoint() or (self.metrics.exists() and self.metrics.stat().st_size > 0)

    def discard(self) -> None:
        """Remove a run that never began; a directory that was there before stays, empty."""
        for entry in self.path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        if self._made_here:
            self.path.rmdir()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the directory.

        Raises:
            UsageError: one is at work in it.
        """
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                why = "another process is at work in it"
                raise UsageError(
                    "run_dir", self.path, why, "wait for it, or choose another"
                ) from error
            yield


def _as_json(figures: dict[str, Any]) -> dict[str, Any]:
    """JSON has no word for what is not finite: null stands for it."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in figures.items()
    }


def _write_atomically(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(text)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
