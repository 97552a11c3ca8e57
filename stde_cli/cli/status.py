"""stde status SWEEP: what became of each job of a sweep."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stde_cli.cli.arguments import Parser

if TYPE_CHECKING:
    from rich.table import Table

    from stde_cli.jobs.status import JobStatus

_SECONDS_BETWEEN_LOOKS = 2.0
_WIDEST = 10_000


def parser() -> Parser:
    parser = Parser(
        "status",
        "Each job of a sweep: waiting, running, finished, failed; "
        "from its directory, and from Slurm where that is there.",
    )
    parser.add_argument("sweep", metavar="DIR", type=Path, help="the hydra.sweep.dir of the sweep")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    parser.add_argument(
        "--watch", action="store_true", help="look again, until no job waits or runs"
    )
    return parser


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)

    from stde_cli.jobs.status import RUNNING, WAITING, status_of

    def look() -> list["JobStatus"]:
        return status_of(options.sweep)

    def goes_on(jobs: Sequence["JobStatus"]) -> bool:
        return options.watch and any(job.state in (RUNNING, WAITING) for job in jobs)

    jobs = look()
    if options.json:
        print(json.dumps([job.as_dict() for job in jobs]), flush=True)
        while goes_on(jobs):
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            jobs = look()
            print(json.dumps([job.as_dict() for job in jobs]), flush=True)
        return 0

    from rich.live import Live

    from stde_cli.runs.tracking.screen import screen

    console = screen()
    if options.watch and console.is_terminal:
        with Live(_table(jobs), console=console, auto_refresh=False) as live:
            while goes_on(jobs):
                time.sleep(_SECONDS_BETWEEN_LOOKS)
                jobs = look()
                live.update(_table(jobs), refresh=True)
        return 0
    # A name that is cut short is of no use: what is wider than the screen runs on.
    console.width = _WIDEST
    console.print(_table(jobs))
    while goes_on(jobs):
        before = [job.state for job in jobs]
        time.sleep(_SECONDS_BETWEEN_LOOKS)
        jobs = look()
        if [job.state for job in jobs] != before:
            console.print(_table(jobs))
    return 0


def _table(jobs: Sequence["JobStatus"]) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    counts = Counter(job.state for job in jobs)
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    of_slurm = any(job.slurm_job or job.node for job in jobs)
    preempted = any(job.preempted for job in jobs)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, caption=told, caption_justify="left")
    table.add_column("job", justify="right", no_wrap=True)
    for name in ("varies", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("steps", "left", "error"):
        table.add_column(name, no_wrap=True, justify="right")
    if preempted:
        table.add_column("preempted", no_wrap=True, justify="right")
    if of_slurm:
        table.add_column("on", no_wrap=True)
    table.add_column("")
    for job in jobs:
        table.add_row(
            str(job.number),
            Text(job.varies),
            Text(job.state, style=_STYLES.get(job.state, "")),
            _steps(job),
            _left(job),
            "" if job.rel_l2_error is None else f"{job.rel_l2_error:.2e}",
            *([str(job.preempted or "")] if preempted else []),
            *([Text(" ".join(filter(None, (job.slurm_job, job.node))))] if of_slurm else []),
            Text(job.why or ""),
        )
    return table


_STYLES = {
    "finished": "green",
    "running": "cyan",
    "failed": "red",
    "killed": "red",
    "lost": "red",
    "unreadable": "red",
}


def _steps(job: "JobStatus") -> str:
    if job.step is None or job.steps is None:
        return ""
    return f"{job.step:,}" if job.step == job.steps else f"{job.step:,} of {job.steps:,}"


def _left(job: "JobStatus") -> str:
    from stde_cli.runs.tracking.screen import duration

    left = "" if job.seconds_left is None else duration(job.seconds_left)
    if job.slurm_seconds_left is None or job.state != "running":
        return left
    return f"{left} (limit in {duration(job.slurm_seconds_left)})".strip()
