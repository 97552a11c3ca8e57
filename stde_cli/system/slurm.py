"""Slurm: the job that this process runs in, and what is asked of its commands.

Nothing else reads `SLURM_*` or calls sbatch, squeue, sinfo and scontrol. No accounting is asked
for: many sites have none.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

WARNINGS = frozenset((signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2))
"""What Slurm sends ahead of a preemption, and of a time limit where `--signal` asks for it."""

AT_WORK, REQUEUED, ENDED = "at work", "requeued", "ended"
"""What Slurm has in mind with a job that it sent a signal: see `Job.fate`."""

_SECONDS_TO_ANSWER = 60


class SlurmError(Exception):
    """A command of Slurm's failed; the text is its own, on one line."""


@dataclass(frozen=True)
class Job:
    """The job of this process.

    Attributes:
        name: as Slurm's commands take it: ARRAY_TASK for one of an array. The number that each has
            as well is, for one of them, that of the whole array.
        restarts: how often it was put back into the queue.
        task: its number in its array.
        node: the name of the machine, as Slurm has it.
        in_batch: whether a script began it, which Slurm can start again.
    """

    name: str
    restarts: int
    task: int | None
    node: str | None
    in_batch: bool

    def fate(self) -> str:
        """What Slurm has in mind with the job, to which it sent a signal.

        AT_WORK: it goes on, though perhaps not for long: a job that is to be preempted is told so
        while it still runs, and so is one whose time runs out. REQUEUED: it is in the queue again
        already, put there by somebody else. ENDED: it was cancelled.

        Raises:
            SlurmError: Slurm does not say.
        """
        found = _ask("scontrol", "--oneliner", "show", "job", self.name)
        about = dict(word.split("=", 1) for word in found.split() if "=" in word)
        if int(about.get("Restarts", 0)) > self.restarts:
            return REQUEUED
        # A job that reached its limit ends by a fault of nobody's, too.
        if about.get("JobState") == "RUNNING" or about.get("Reason") == "TimeLimit":
            return AT_WORK
        return ENDED

    def requeue(self) -> None:
        """Have the job started again, from its script on; Slurm then ends this process.

        Raises:
            SlurmError: it is no batch job, or may not be requeued.
        """
        _ask("scontrol", "requeue", self.name)


def this_job(environment: Mapping[str, str] = os.environ) -> Job | None:
    """The job that this process runs in; None outside of Slurm."""
    number = environment.get("SLURM_JOB_ID")
    if not number:
        return None
    array, task = (environment.get(f"SLURM_ARRAY_{key}_ID") for key in ("JOB", "TASK"))
    in_array = bool(array and task and task.isdecimal())
    return Job(
        name=f"{array}_{task}" if in_array else number,
        restarts=int(environment.get("SLURM_RESTART_COUNT") or 0),
        task=int(task) if in_array and task else None,
        node=environment.get("SLURMD_NODENAME"),
        in_batch=environment.get("ENVIRONMENT") == "BATCH",
    )


def is_here() -> bool:
    """Whether jobs can be submitted from this machine."""
    return shutil.which("sbatch") is not None


def submit(script: Path) -> str:
    """Hand a batch script to Slurm; returns the number of the job, or of the array.

    Raises:
        SlurmError: it is refused.
    """
    return _ask("sbatch", "--parsable", str(script)).partition(";")[0]


def partitions() -> list[str]:
    """The names of the partitions.

    Raises:
        SlurmError: Slurm does not answer.
    """
    return sorted(set(_ask("sinfo", "--noheader", "--format", "%R").split()))


@dataclass(frozen=True)
class Queued:
    """A job that Slurm knows: waiting, at work or ending.

    Attributes:
        task: its number in its array.
        state: Slurm's word.
        reason: why it waits.
        seconds_left: of its time limit.
    """

    task: int
    state: str
    reason: str
    node: str
    seconds_left: float | None


def queue(arrays: Iterable[str]) -> dict[int, Queued]:
    """The jobs of these arrays that are not over, by their number in the array.

    Raises:
        SlurmError: Slurm does not answer.
    """
    names = ",".join(arrays)
    if not names:
        return {}
    try:
        form = "%i|%T|%r|%N|%L"
        text = _ask("squeue", "--noheader", "--array", "--jobs", names, "--format", form)
    except SlurmError as error:
        # What is over for some minutes is forgotten.
        if "Invalid job id" in str(error):
            return {}
        raise
    return {job.task: job for job in parse_queue(text)}


def parse_queue(text: str) -> list[Queued]:
    """Lines of `squeue --array --format "%i|%T|%r|%N|%L"`; those of no array are passed over."""
    found = []
    for line in text.splitlines():
        name, state, reason, node, left = ([part.strip() for part in line.split("|")] + [""] * 5)[
            :5
        ]
        if match := re.fullmatch(r"\d+_(\d+)", name):
            reason = "" if reason == "None" else reason
            found.append(Queued(int(match[1]), state, reason, node, seconds(left)))
    return found


def seconds(text: str) -> float | None:
    """Of a time as Slurm writes it, [days-][hours:]minutes:seconds; None for words: UNLIMITED."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, rest = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + rest)


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS_TO_ANSWER, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmError(f"{command[0]} does not answer ({error})") from error
    if done.returncode:
        raise SlurmError(_in_one_line(done.stderr) or f"{command[0]} failed")
    return done.stdout.strip()


def _in_one_line(text: str) -> str:
    """What a command complains of, without its own name."""
    lines = [re.sub(r"^\w+: (error: )?", "", line).strip() for line in text.splitlines()]
    return "; ".join(filter(None, lines))


def listed(numbers: Sequence[int]) -> str:
    """Numbers as `--array` takes them: 0-3,7."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)
