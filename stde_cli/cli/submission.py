"""A sweep's jobs on Slurm: refused, or submitted as an array, and waited for where that is asked.

A job of the array is `stde _job SWEEP`, which runs the command that the sweep keeps for it: what a
user could type. So what happens to it when it is preempted is what happens to any solve.
"""

import math
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf, open_dict

from stde_cli.cli.sweeps import Begin
from stde_cli.config.composition import choices
from stde_cli.config.schema import SlurmConfig
from stde_cli.config.validate import check_schema, validate
from stde_cli.runs.attempts import Attempts, futile
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.submitted import Submitted, run_directories
from stde_cli.runs.summary import FINISHED, Summary
from stde_cli.system import slurm
from stde_cli.system.errors import Interrupted, JobFailed, UsageError
from stde_cli.system.interrupts import Interrupts

_KEPT = ("hydra.searchpath", "hydra.job.env_set")
"""Settings of Hydra's own that a job needs as well."""
_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_BETWEEN_QUESTIONS = 15.0
"""To Slurm, which has others to answer."""


def launch(
    loader: Any,
    config: DictConfig,
    settings: Mapping[str, Any],
    overrides: Sequence[Sequence[str]],
    first: int,
) -> list[JobReturn]:
    """Submit the jobs; what they came to, or nothing where nobody waits for them.

    Args:
        loader: Hydra's, for the configuration of a job.
        settings: those of configs/hydra/launcher/slurm.yaml.
        overrides: of each job.
        first: the number of the first one.

    Raises:
        UsageError: Slurm is not there, or it or a setting refuses.
        Interrupted: a signal came while they were waited for. They go on.
    """
    sweep = Path(config.hydra.sweep.dir)
    numbered = {first + k: list(each) for k, each in enumerate(overrides)}
    if not numbered:
        return []
    _check(settings)
    record, word = Submitted(sweep), config.hydra.job.config_name
    _validate_first(loader, config, numbered[first], word)
    queued = _in_queue(record)
    wanted = _wanted(config, sweep, numbered, queued)
    _check_against_saves(settings, sweep)
    if wanted:
        record.add_jobs({n: _command(config, numbered[n], n, word) for n in wanted})
        script = record.path / "job.sh"
        script.write_text(_script(settings, sweep, record, wanted))
        try:
            array = slurm.submit(script)
        except slurm.SlurmError as error:
            if not record.arrays():
                shutil.rmtree(record.path)
            raise UsageError("cluster", "slurm", f"sbatch refuses: {error}") from error
        record.add_array(array, wanted)
        jobs = f"{len(wanted)} jobs" if len(wanted) > 1 else "1 job"
        print(f"submitted {jobs} as {array}; see: stde status {sweep}; cancel: scancel {array}")
    else:
        print(f"nothing to do in {sweep}; see: stde status {sweep}")
    if Begin.sweep:
        Begin.sweep.left = True
    # A sweeper that chooses jobs by what others came to needs that, and so does a table.
    by_results = not str(config.hydra.sweeper._target_).endswith("BasicSweeper")
    if not (settings["wait"] or by_results or word != "solve"):
        return []
    return _wait(sweep, record, list(numbered), {n for n in numbered if n in {*wanted, *queued}})


def _check(settings: Mapping[str, Any]) -> None:
    """
    Raises:
        UsageError: Slurm is not there, or a setting cannot work.
    """
    check_schema(dict(settings), SlurmConfig, "hydra.launcher.")
    if not slurm.is_here():
        mend = "submit from a node that has sbatch, or take cluster=local"
        raise UsageError("cluster", "slurm", "there is no Slurm on this machine", mend)
    if settings["warning_seconds"] >= 60 * settings["minutes"]:
        why = f"no shorter than the time limit, hydra.launcher.minutes={settings['minutes']}"
        raise UsageError("hydra.launcher.warning_seconds", settings["warning_seconds"], why)
    wanted = settings["partition"]
    try:
        known = slurm.partitions()
    except slurm.SlurmError as error:
        raise UsageError("cluster", "slurm", f"Slurm does not answer: {error}") from error
    for name in filter(None, str(wanted or "").split(",")):
        if name not in known:
            mend = f"choose from {', '.join(known)}"
            raise UsageError("hydra.launcher.partition", name, "no such partition", mend)


def _validate_first(loader: Any, config: DictConfig, overrides: list[str], word: str) -> None:
    """What is wrong with the first job is told before any is submitted; the others say it."""
    if word != "solve":
        return
    composed = loader.load_sweep_config(config, overrides)
    hydra = composed.hydra
    with open_dict(composed):
        composed.choices = choices(hydra)
        del composed["hydra"]
    validate(composed)


def _in_queue(record: Submitted) -> dict[int, slurm.Queued]:
    try:
        return slurm.queue(record.arrays())
    except slurm.SlurmError as error:
        raise UsageError("cluster", "slurm", f"Slurm does not answer: {error}") from error


def _wanted(
    config: DictConfig,
    sweep: Path,
    numbered: Mapping[int, list[str]],
    queued: Mapping[int, slurm.Queued],
) -> list[int]:
    """The jobs to submit: with resume=auto those that are missing or failed.

    Raises:
        UsageError: others of this sweep are in the queue.
    """
    resume = config.get("resume", "auto")
    if resume == "never":
        if queued:
            why = f"{len(queued)} jobs of a sweep are in the queue for it"
            mend = "choose another, or add resume=auto to submit what is missing"
            raise UsageError("hydra.sweep.dir", sweep, why, mend)
        return list(numbered)
    wanted = [number for number in numbered if number not in queued]
    for number, place in run_directories(sweep).items():
        run = RunDirectory(place)
        summary = _summary(run)
        if number not in wanted or summary is None:
            continue
        why = futile(Attempts(place).all, run.newest_checkpoint() or 0)
        if summary.status == FINISHED:
            wanted.remove(number)
        elif why and resume != "retry":
            print(f"job {number} stays as it is: {why}; to try again: resume=retry")
            wanted.remove(number)
    return wanted


def _summary(run: RunDirectory) -> Summary | None:
    try:
        return run.read_summary()
    except UsageError:
        return None


def _check_against_saves(settings: Mapping[str, Any], sweep: Path) -> None:
    """
    Raises:
        UsageError: a job that has run before took longer to save than it would be given.
    """
    found = (_summary(RunDirectory(place)) for place in run_directories(sweep).values())
    slowest = max((s.save_seconds for s in found if s and s.save_seconds), default=0.0)
    for key, allowed in (
        ("minutes", 60 * settings["minutes"]),
        ("warning_seconds", settings["warning_seconds"]),
    ):
        if allowed <= slowest:
            why = f"shorter than a save, which took {slowest:.1f} s here"
            raise UsageError(f"hydra.launcher.{key}", settings[key], why, "give more")


def _command(config: DictConfig, overrides: list[str], number: int, word: str) -> list[str]:
    """What is typed behind `stde` for one job."""
    hydra: Any = OmegaConf.to_container(config.hydra.overrides.hydra)
    own = [each for each in hydra if each.lstrip("+").startswith(_KEPT)]
    sources: Any = OmegaConf.to_container(config.hydra.runtime.config_sources)
    places = [each["path"] for each in sources if each["provider"] == "command-line"]
    flags = [part for place in places for part in ("--config-dir", place)]
    place = str(Path(config.hydra.sweep.dir)).replace("'", "\\'")
    of_sweep = [f"hydra.job.num={number}", f"hydra.sweep.dir='{place}'"]
    return [word, *flags, *overrides, *own, *of_sweep]


def _script(
    settings: Mapping[str, Any], sweep: Path, record: Submitted, numbers: Sequence[int]
) -> str:
    at_once = settings["at_once"]
    log = record.path.resolve() / "%a.log"
    options = {
        "job-name": f"stde-{sweep.name}",
        "array": slurm.listed(numbers) + (f"%{at_once}" if at_once else ""),
        "output": log,
        "open-mode": "append",
        "requeue": True,
        "time": settings["minutes"],
        "signal": f"USR2@{settings['warning_seconds']}",
        "cpus-per-task": settings["cpus"],
        "mem": f"{int(1024 * settings['memory_gb'])}M",
        "partition": settings["partition"],
        "gpus": settings["gpus"] or None,
        **settings["options"],
    }
    lines = ["#!/bin/bash"]
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            lines.append(f"#SBATCH {flag}")
        elif value is not None:
            lines.append(f"#SBATCH {flag}={shlex.quote(str(value))}")
    job = [sys.executable, "-P", "-m", "stde_cli", "_job", str(sweep)]
    # A step of its own: Slurm sends its warnings to steps, not to the script.
    # Set while it is submitted: a job's own errors are one line.
    own = "unset HYDRA_FULL_ERROR"
    step = f"exec srun --cpus-per-task={settings['cpus']} {shlex.join(job)}"
    return "\n".join([*lines, "", own, *settings["setup"], step, ""])


def _wait(
    sweep: Path, record: Submitted, numbers: Sequence[int], at_work: set[int]
) -> list[JobReturn]:
    """What all the jobs came to, once those `at_work` have."""
    left, missed, lost = at_work, set[int](), set[int]()
    asked = time.monotonic()
    with Interrupts() as interrupts:
        while left:
            if number := interrupts.received:
                names = " ".join(record.arrays())
                raise Interrupted(
                    f"stopped waiting by {number.name}, the jobs go on; see: stde status {sweep}; "
                    f"cancel them: scancel {names}",
                    number,
                )
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            if time.monotonic() - asked > _SECONDS_BETWEEN_QUESTIONS:
                absent = left - _queued(record, left)
                # Twice in a row: the end of a job is seen a moment later on a shared file system.
                lost, missed, asked = absent & missed, absent, time.monotonic()
            left = {n for n in left - lost if not record.result_file(n).exists()}
    return [_returned(record, number, waited=number in at_work) for number in numbers]


def _queued(record: Submitted, left: set[int]) -> set[int]:
    """Those that Slurm knows of; all of them where it does not answer: it will."""
    try:
        return set(slurm.queue(record.arrays()))
    except slurm.SlurmError:
        return left


def _returned(record: Submitted, number: int, *, waited: bool) -> JobReturn:
    result = JobReturn()
    result.hydra_cfg = OmegaConf.create({"hydra": {"job": {"num": number}}})
    lost = {"status": 1, "error": f"cancelled, or ended without a word: {record.log(number)}"}
    # Of one that was finished before there may be no word.
    found = record.result(number) or (lost if waited else {"status": 0, "value": None})
    if found["status"]:
        told = found["error"]
        print(f"stde: job {number}: {told}", file=sys.stderr)
        result.status = JobStatus.FAILED
        result.return_value = JobFailed(number, found["status"])
    else:
        result.status = JobStatus.COMPLETED
        value = found.get("value")
        result.return_value = math.nan if value is None else value
    return result
