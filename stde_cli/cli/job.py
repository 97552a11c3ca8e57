"""stde _job SWEEP: the command of one job of a sweep on Slurm, as Slurm starts it."""

import importlib
import os
from contextlib import suppress
from pathlib import Path

from stde_cli.cli import hydra_app
from stde_cli.runs.submitted import Submitted
from stde_cli.system.errors import Interrupted, StdeError, Unexpected, UsageError
from stde_cli.system.slurm import AT_WORK, WARNINGS, SlurmError, this_job


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
    except Interrupted as error:
        # A run has seen to it that it comes again; a command of another kind has not. What was
        # cancelled leaves no word.
        if error.signal_number in WARNINGS:
            with suppress(SlurmError):
                if job.fate() == AT_WORK:
                    job.requeue()
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        told = error if isinstance(error, StdeError) else Unexpected(error)
        record.end(job.task, told.status, error=str(told))
        raise
    record.end(job.task, 0, value=value)
    return 0
