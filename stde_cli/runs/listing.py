"""Runs found below a directory, and what became of them."""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.summary import FINISHED, RUNNING
from stde_cli.system.errors import UsageError

KILLED, UNREADABLE = "killed", "unreadable"


@dataclass
class Listed:
    """A run in a list."""

    run_dir: str
    status: str
    """That of its summary; killed where its process is gone without a word; unreadable."""
    age_seconds: float
    """Since something was written last."""
    pde: str | None = None
    solution: str | None = None
    dim: int | None = None
    seed: int | None = None
    rel_l2_error: float | None = None
    loss: float | None = None
    steps: int | None = None
    steps_planned: int | None = None
    trivial_rel_l2_error: float | None = None
    seconds: float | None = None
    steps_per_second: float | None = None
    peak_memory_mb: float | None = None
    rel_error_at_point: float | None = None
    errors_against: str | None = None
    solution_error: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def list_runs(directories: Iterable[Path]) -> list[Listed]:
    """The runs in and below the directories, those of sweeps too; the newest first."""
    found = {run.path.resolve(): run for place in directories for run in _find(place)}
    return sorted(map(describe, found.values()), key=lambda run: run.age_seconds)


def _find(place: Path) -> Iterator[RunDirectory]:
    for directory, below, files in os.walk(place):
        if {"config.yaml", "summary.json"} <= set(files):
            yield RunDirectory(Path(directory))
            # What a run holds is not looked through.
            below.clear()


def describe(run: RunDirectory) -> Listed:
    written = [file.stat().st_mtime for file in (run.summary, run.metrics) if file.exists()]
    age = max(0.0, time.time() - max(written, default=time.time()))
    try:
        summary = run.read_summary()
    except UsageError:
        return Listed(str(run.path), UNREADABLE, age)
    listed = Listed(
        str(run.path),
        summary.status,
        age,
        summary.pde,
        summary.solution,
        summary.dim,
        summary.seed,
        summary.rel_l2_error,
        summary.loss,
        summary.steps,
        summary.steps_planned,
        summary.trivial_rel_l2_error,
        summary.wall_seconds,
        summary.steps_per_second,
        summary.peak_memory_mb,
        summary.rel_error_at_point,
        summary.errors_against,
        summary.solution_error,
    )
    if summary.status == RUNNING and not run.at_work():
        listed.status = KILLED
    if summary.status != FINISHED:
        # The summary is written at the end, the figures on the way there.
        for row in run.read_metrics():
            for key in ("rel_l2_error", "trivial_rel_l2_error", "rel_error_at_point"):
                setattr(listed, key, row.get(key, getattr(listed, key)))
            if row["step"] > (listed.steps or 0):
                listed.steps = int(row["step"])
                for key in ("loss", "seconds", "steps_per_second", "peak_memory_mb"):
                    setattr(listed, key, row.get(key, getattr(listed, key)))
    return listed
