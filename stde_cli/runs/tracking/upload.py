"""What wandb recorded offline, handed to its own sync, which marks what a server has received."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.tracking.wandb import obstacle_to_online
from stde_cli.system.errors import UsageError

UPLOADED, ALREADY, AT_WORK, FAILED = "uploaded", "uploaded already", "at work", "not uploaded"

_LOGS = "**/wandb/offline-run-*/*.wandb"


class Uploaded(NamedTuple):
    """What became of a record: a run that was resumed has several.

    Attributes:
        record: its directory.
    """

    record: Path
    status: str


def upload(places: Iterable[Path]) -> tuple[list[Uploaded], str]:
    """Upload the records in and below the places.

    Returns:
        what became of each, and what wandb said.

    Raises:
        UsageError: there is something to upload, and no key or no network.
    """
    found = {log.resolve(): log for place in places for log in sorted(place.glob(_LOGS))}
    before = {log: _status(log) for log in found.values()}
    left = [log for log, status in before.items() if status == FAILED]
    said = ""
    if left:
        if obstacle := obstacle_to_online():
            why = f"{len(left)} records are to be uploaded, and there is an obstacle: {obstacle}"
            raise UsageError("wandb", None, why)
        command = [sys.executable, "-m", "wandb", "sync", *(str(log.parent) for log in left)]
        done = subprocess.run(command, capture_output=True, text=True)
        said = done.stdout + done.stderr
    return list(_after(before)), said


def _after(before: dict[Path, str]) -> Iterator[Uploaded]:
    for log, status in before.items():
        if status == FAILED and _is_marked(log):
            status = UPLOADED
        yield Uploaded(log.parent, status)


def _status(log: Path) -> str:
    if _is_marked(log):
        return ALREADY
    return AT_WORK if RunDirectory(log.parents[2]).at_work() else FAILED


def _is_marked(log: Path) -> bool:
    return log.with_suffix(".wandb.synced").exists()
