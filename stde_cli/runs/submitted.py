"""What a sweep keeps of its jobs on Slurm, in a directory `slurm` of its own.

jobs.jsonl     the command of each job, by its number
arrays.jsonl   the arrays that were submitted, and the jobs in each
N.log          what job N said, in all its attempts
N.json         how job N ended: its exit status, what it said then or what it came to
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stde_cli.runs import results
from stde_cli.system.files import json_text, write_atomically


class Submitted:
    """The record of a sweep, which many jobs read and each adds a file to."""

    def __init__(self, sweep: Path):
        self.path = sweep / "slurm"
        self._jobs, self._arrays = self.path / "jobs.jsonl", self.path / "arrays.jsonl"

    def add_jobs(self, commands: Mapping[int, Sequence[str]]) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        for number, command in commands.items():
            self.result_file(number).unlink(missing_ok=True)
            results.append(self._jobs, {"number": number, "command": list(command)})

    def add_array(self, name: str, numbers: Sequence[int]) -> None:
        row = {"array": name, "jobs": list(numbers), "submitted": time.time()}
        results.append(self._arrays, row)

    def commands(self) -> dict[int, list[str]]:
        """The words behind `stde` of each job; of those submitted again the newest."""
        return {row["number"]: row["command"] for row in results.read(self._jobs, _ignore)}

    def arrays(self) -> list[str]:
        """The names of the arrays, the oldest first."""
        return [row["array"] for row in results.read(self._arrays, _ignore)]

    def log(self, number: int) -> Path:
        return self.path / f"{number}.log"

    def result_file(self, number: int) -> Path:
        return self.path / f"{number}.json"

    def end(self, number: int, status: int, *, error: str | None = None, value: Any = None) -> None:
        """Say how a job ended; it is over, and will not come again."""
        row = {"status": status, "error": error, "value": value}
        write_atomically(self.result_file(number), json_text(row) + "\n")

    def result(self, number: int) -> dict[str, Any] | None:
        """What `end` was told of a job; None of one that is not over, or ended without a word."""
        try:
            return json.loads(self.result_file(number).read_text())
        except (OSError, ValueError):
            return None


def run_directories(sweep: Path) -> dict[int, Path]:
    """Where the jobs of a sweep are kept that have begun, by their numbers."""
    found = {}
    for place in sweep.iterdir() if sweep.is_dir() else ():
        number, dash, _ = place.name.partition("-")
        if dash and number.isdecimal() and place.is_dir():
            found[int(number)] = place
    return found


def _ignore(_: str) -> None:
    """A line that is torn is of a job that was never submitted."""
