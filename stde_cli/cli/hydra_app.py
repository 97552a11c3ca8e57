"""Run a command behind Hydra: its overrides, flags, sweeps and launchers, with our errors."""

import os
import re
import sys
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import hydra
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from stde_cli.cli import sweeps
from stde_cli.cli.main import look_for_classes_in
from stde_cli.config.composition import choices, config_directory, explained
from stde_cli.config.hydra_errors import explain
from stde_cli.config.schema import register
from stde_cli.system.errors import Interrupted, StdeError, Unexpected, UsageError
from stde_cli.system.slurm import this_job

_LONGEST_NAME = 40


def run(command: str, arguments: list[str], task: Callable[[DictConfig], float | None]) -> int:
    """Compose `command`'s configuration from `arguments` and hand it to `task`, once or often.

    Raises:
        UsageError: Hydra refuses the arguments, or the task its configuration.
        StdeError: what the task raises; in a sweep, after the other jobs have run.
    """
    try:
        _run(command, arguments, task)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def value(command: str, arguments: list[str], task: Callable[[DictConfig], float | None]) -> Any:
    """As `run` of a single configuration; what the task returns."""
    return _run(command, arguments, task)


def _run(command: str, arguments: list[str], task: Callable[[DictConfig], float | None]) -> Any:
    ordered = _flags_first(command, arguments)
    _refuse_other_places(ordered)
    if not {"-m", "--multirun"} & set(arguments):
        _refuse_a_sweeper_alone(ordered)
    register()
    guarded = _Task(command, task)
    application = hydra.main(
        version_base="1.3", config_path=str(config_directory()), config_name=command
    )(guarded)
    # Hydra would print its own errors, in several lines; told so, it raises them instead.
    environment = mock.patch.dict(os.environ, HYDRA_FULL_ERROR="1")
    line = [f"stde {command}", *ordered]
    typed = mock.patch.object(sys, "argv", line)
    once = _composed_once(ordered)
    with environment, typed, once, sweeps.told_together(), explained(command, arguments):
        if {"-m", "--multirun"} & set(arguments):
            line.append(_short_names(arguments))
            line.extend(_place_of_job(arguments))
        application()
    if guarded.error is not None:
        raise guarded.error
    return guarded.value


def _flags_first(command: str, arguments: list[str]) -> list[str]:
    """The arguments in an order in which Hydra understands them: overrides may stand on both sides.

    Raises:
        UsageError: a flag is unknown, lacks its value, or does not go with another.
        SystemExit: a flag that ends the command: --version.
    """
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise UsageError(f"stde {command}", None, message, f"see: stde {command} --hydra-help")

    parser.error = refuse
    options = parser.parse_intermixed_args(arguments)
    modes = {
        "--run": options.run,
        "--multirun": options.multirun,
        "--cfg": options.cfg,
        "--info": options.info,
        "--shell-completion": options.shell_completion,
    }
    given = [flag for flag, value in modes.items() if value]
    if len(given) > 1:
        refuse(f"{' and '.join(given)} do not go together")
    if options.config_dir == "":
        raise UsageError("--config-dir", "''", "no such directory")
    if options.resolve and not (options.cfg or options.help):
        refuse("--resolve goes with --cfg job")
    flags, left = [], list(options.overrides)
    for argument in arguments:
        if left and argument == left[0]:
            left.pop(0)
        else:
            flags.append(argument)
    return [*flags, *options.overrides]


def _composed_once(arguments: list[str]) -> AbstractContextManager[Any]:
    """Hydra composes everything beforehand, an eighth of a second, to see who sets `hydra.mode`.

    No group of ours does. What may bring in a file that does, an experiment or a directory of the
    user's, is left to Hydra.
    """
    plain = re.compile(r"-m|--multirun|~?(?!hydra[./])\w.*", re.DOTALL)
    if not all(map(plain.fullmatch, arguments)):
        return nullcontext()
    return mock.patch.object(Hydra, "get_mode", return_value=None)


_PLACES = ("hydra.run.dir", "hydra.sweep.subdir", "hydra.job.chdir", "hydra.output_subdir")


def _refuse_other_places(arguments: list[str]) -> None:
    """Hydra's own settings of where a run is kept, which `run_dir` is for."""
    for argument in arguments:
        key, _, value = argument.lstrip("+~").partition("=")
        if key in _PLACES:
            why = "a run is kept in its run_dir, and paths are those of where the command is given"
            mend = "give run_dir=..., or for the directory of a sweep hydra.sweep.dir=..."
            raise UsageError(key, value, why, mend)


def _refuse_a_sweeper_alone(arguments: list[str]) -> None:
    """Hydra would leave a sweeper unused."""
    for argument in arguments:
        key, _, value = argument.lstrip("+~").partition("=")
        if key == "hydra/sweeper" or key.startswith(("hydra/sweeper/", "hydra.sweeper.")):
            raise UsageError(key, value, "there is nothing to sweep over", "add -m")


def overrides_of(hydra_config: Any) -> list[str]:
    """What was typed, with its interpolations as they were written."""
    written: Any = OmegaConf.to_container(hydra_config.overrides.task)
    of_a_trial = any(text.startswith("trial=") for text in written)
    return [text for text in written if not of_a_trial or text.partition("=")[0] not in OF_A_TRIAL]


def in_sweep(hydra_config: Any) -> bool:
    """Whether a configuration is one of several: a job of its own on Slurm has its number alone."""
    multirun = hydra_config.mode == RunMode.MULTIRUN
    return multirun or not OmegaConf.is_missing(hydra_config.job, "num")


def name_beside_others(hydra_config: Any) -> str | None:
    """The name of a job that shares its screen: its number in the sweep and what it varies."""
    alone = hydra_config.mode == RunMode.RUN
    if alone or hydra_config.runtime.choices["hydra/launcher"] == "basic":
        return None
    name = f"#{hydra_config.job.num} {hydra_config.job.override_dirname}".strip()
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _short_names(arguments: list[str]) -> str:
    """The override that leaves out of the jobs' names all that is the same in each of them."""
    texts = [argument for argument in arguments if re.match(r"[^-].*=", argument)]
    overrides = OverridesParser.create().parse_overrides(texts)
    same = [o.key_or_group for o in overrides if not o.is_sweep_override()]
    excluded = ",".join([*same, *OF_A_TRIAL])
    return f"hydra.job.config.override_dirname.exclude_keys=[{excluded}]"


OF_A_TRIAL = ("trial", "resume", "run_dir")
"""Keys that a sweeper sets by itself, to make a run one of its trials."""


def _place_of_job(arguments: list[str]) -> list[str]:
    """The directory of a sweep within one Slurm job: found again when the job is started again."""
    given = any(argument.lstrip("+").startswith("hydra.sweep.dir=") for argument in arguments)
    job = this_job()
    if given or job is None or not job.in_batch:
        return []
    # A script may have several.
    which = zlib.crc32(" ".join(arguments).encode())
    return [f"hydra.sweep.dir=runs/sweep-job-{job.name}-{which:08x}"]


class _Task:
    """The task, with errors kept from Hydra's own reporting in a single run.

    In a sweep they are raised: Hydra, or the launcher's other processes, let the remaining jobs
    run, and `sweeps` tells of all at the end. An interrupt ends the sweep; another process of it,
    which has been interrupted, takes up none of the remaining jobs.
    """

    def __init__(self, command: str, task: Callable[[DictConfig], float | None]):
        self._command, self._task, self._here = command, task, Path.cwd()
        self._process = os.getpid()
        self.error: StdeError | None = None
        self.value: float | None = None

    @property
    def __module__(self) -> str:
        return self._task.__module__

    def __call__(self, config: DictConfig) -> float | None:
        # In a sweep this may be another process.
        look_for_classes_in(self._here)
        register()
        hydra_config = HydraConfig.get()
        with open_dict(config):
            config.choices = choices(hydra_config)
        if sweeps.Stopped.by is not None:
            raise Interrupted("not begun: its process was interrupted", sweeps.Stopped.by)
        try:
            self.value = self._guarded(config)
            return self.value
        except StdeError as error:
            if hydra_config.mode == RunMode.RUN:
                self.error = error
                return None
            if not isinstance(error, Interrupted):
                raise
            if os.getpid() == self._process:
                raise KeyboardInterrupt from error
            print(f"job {hydra_config.job.num}: {error}")
            sweeps.Stopped.by = error.signal_number
            raise

    def _guarded(self, config: DictConfig) -> float | None:
        try:
            return self._task(config)
        except OSError as error:
            where = error.filename or config.get("run_dir")
            raise UsageError("run_dir", where, error.strerror or str(error)) from error
        except OmegaConfBaseException as error:
            raise explain(error, config_directory(), self._command) from error
        except StdeError:
            raise
        except Exception as error:
            raise Unexpected(error) from error
