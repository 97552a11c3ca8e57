"""stde _job SWEEP: the command of one job of a sweep on Slurm, as Slurm starts it."""

import importlib
import os
from pathlib import Path

from stde_cli.cli import hydra_app
from stde_cli.runs.submitted import Submitted
from stde_cli.system.errors import Interrupted, StdeError, Unexpected, UsageError
from stde_cli.system.slurm import this_job


def main(arguments: list[str]) -> int:
    """Run it, and leave word of its end where it has come to one."""
    job, sweep = this_job(), Path(arguments[0] if arguments else ".")
    if job is None or job.task is None:
        raise UsageError("_job", sweep, "this is no job of an array")
    record = Submitted(sweep)
    command = record.commands().get(job.task)
    if command is None:
        raise UsageError("_job", sweep, f"no job {job.task} was submitted from there")
    word, *rest = command
    print(f"stde {' '.join(command)}  # job {job.name} on {job.node or os.uname().nodename}")
    task = importlib.import_module(f"stde_cli.cli.{word}").task
    try:
        value = hydra_app.value(word, rest, task)
    except (Interrupted, KeyboardInterrupt):
        # It comes again, or somebody cancelled it and knows.
        raise
    except BaseException as error:
        told = error if isinstance(error, StdeError) else Unexpected(error)
        record.end(job.task, told.status, error=str(told))
        raise
    record.end(job.task, 0, value=value)
    return 0
