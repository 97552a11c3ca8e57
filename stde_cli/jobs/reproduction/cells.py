"""A cell of a table: one command, and the directory that holds what it found."""

import fcntl
import hashlib
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from pydantic import TypeAdapter, ValidationError

from stde_cli.jobs.benchmarks import status
from stde_cli.runs import results
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.summary import FINISHED
from stde_cli.system.errors import UsageError
from stde_cli.system.files import json_text, write_atomically

BENCH, SOLVE = "bench", "solve"
DONE, OOM, TOO_SLOW, REFUSED = "done", "OOM", "too slow", "refused"
FAILED, KILLED = "failed", "killed"
FAULTS = (FAILED, KILLED)
"""What says nothing of the cell itself. The others are answers: an extra is not installed, say."""


@dataclass(frozen=True)
class Result:
    """What became of a cell."""

    status: str
    reason: str = ""
    figures: dict[str, float] | None = None
    device: str | None = None
    limit_seconds: float | None = None
    """The time that it was allowed, where that was not enough."""

    def is_final(self, cell_seconds: float | None) -> bool:
        """Whether trying again would find the same, with so many seconds a cell."""
        if self.status == TOO_SLOW:
            assert self.limit_seconds is not None
            return cell_seconds is not None and cell_seconds <= self.limit_seconds
        return self.status in (DONE, OOM)


@dataclass(frozen=True)
class Cell:
    """One command of a table."""

    label: str
    command: tuple[str, ...]
    """Without `stde` in front, and without where its result is kept."""
    row: str
    column: int | str

    @property
    def kind(self) -> str:
        """BENCH or SOLVE."""
        return self.command[0]

    @property
    def name(self) -> str:
        """That of its directory: cells of one command are one, in whatever table they stand."""
        digest = hashlib.sha256(shlex.join(self.command).encode()).hexdigest()[:8]
        return f"{self.label}-{digest}"

    def at(self, directory: Path) -> "Place":
        return Place(self, directory / "cells" / self.name)


class Place:
    """Where a cell's result is kept.

    log.txt       what its command printed
    bench.jsonl   what `stde bench` found, or
    run/          the run of `stde solve`
    result.json   what became of it
    .lock         locked while a process is at work on it
    """

    def __init__(self, cell: Cell, path: Path):
        self.cell, self.path = cell, path
        self.log, self.result = path / "log.txt", path / "result.json"
        self.bench, self.run = path / "bench.jsonl", path / "run"

    @property
    def command(self) -> list[str]:
        """What is typed to fill it."""
        where = [f"run_dir={self.run}", "resume=auto"]
        if self.cell.kind == BENCH:
            # A row of what failed stays in the file: it is measured once more.
            where = [f"bench.out={self.bench}", "bench.retry=[timeout,failed]"]
        return ["stde", *self.cell.command, *where]

    def __str__(self) -> str:
        return shlex.join(self.command)

    def read(self) -> Result | None:
        """What became of the cell; None where nothing has yet.

        A file that is none of ours is kept aside, as result.json.damaged: the cell is filled anew.
        """
        try:
            return TypeAdapter(Result).validate_json(self.result.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            set_aside(self.result)
            return None

    def write(self, result: Result) -> None:
        write_atomically(self.result, json_text(asdict(result), indent=2) + "\n")

    @contextmanager
    def locked(self) -> Iterator[IO[str] | None]:
        """The cell, kept from others; None where another is at it.

        The lock is the open file's: a command that is handed it keeps the cell though its parent be
        killed.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
            else:
                yield file

    def found(self) -> Result | None:
        """What its command left; None where it left nothing that counts."""
        return self._measured() if self.cell.kind == BENCH else self._trained()

    def _measured(self) -> Result | None:
        rows = results.read(self.bench, _warn)
        if not rows:
            return None
        row = rows[-1]
        speed, memory = row.get("steps_per_second"), row.get("peak_memory_mb")
        if speed is None:
            note = str(row.get("note") or "not measured")
            told = {status.OOM: OOM, status.REFUSED: REFUSED}
            return Result(told.get(str(row.get("status")), FAILED), note)
        figures = {"speed_it_per_s": speed} | ({"memory_mb": memory} if memory else {})
        return Result(DONE, figures=figures, device=row.get("device"))

    def _trained(self) -> Result | None:
        try:
            summary = RunDirectory.open(self.run).read_summary()
        except UsageError:
            return None
        if summary.status != FINISHED:
            return None
        names = ("rel_l2_error", "trivial_rel_l2_error", "parameters", "steps", "wall_seconds")
        found = {name: getattr(summary, name) for name in names}
        # At one point the relative L1 error, as it is published, is just the relative error.
        found["rel_l1_error_at_point"] = summary.rel_error_at_point
        figures = {name: float(value) for name, value in found.items() if value is not None}
        return Result(DONE, figures=figures, device=summary.device)


def _warn(line: str) -> None:
    print(f"stde: {line}", file=sys.stderr)


def set_aside(path: Path) -> None:
    """Keep a damaged file under another name, and say so: what it held is found anew."""
    kept = path.with_name(path.name + ".damaged")
    with suppress(FileNotFoundError):  # Another has seen it too.
        path.replace(kept)
        print(f"stde: {path} is damaged; kept as {kept}, and found anew", file=sys.stderr)
