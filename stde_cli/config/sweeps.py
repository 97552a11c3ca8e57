"""What a sweep was to run, from the record that Hydra keeps of it."""

import fcntl
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stde_cli.config import files
from stde_cli.runs.sweep import RECORD
from stde_cli.system.errors import UsageError

LOCK = ".lock"
"""Locked while a sweep is at work in its directory, or submits its jobs from there."""


def lock(sweep: Path) -> IO[str]:
    """Keep other sweeps out of the directory, until the file that is returned is closed.

    Raises:
        UsageError: one is at work in it, or it cannot be written to.
    """
    try:
        sweep.mkdir(parents=True, exist_ok=True)
        file = (sweep / LOCK).open("a")
    except OSError as error:
        why = f"cannot be written to ({error.strerror})"
        raise UsageError("hydra.sweep.dir", sweep, why, "choose another") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        why = "another sweep is at work in it"
        raise UsageError("hydra.sweep.dir", sweep, why, "wait for it, or choose another") from None
    return file


def at_work(sweep: Path) -> bool:
    """Whether a sweep is at work in the directory, now. Nothing is written."""
    with suppress(FileNotFoundError), (sweep / LOCK).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class Planned(NamedTuple):
    """The overrides of each job, in the order of their numbers, and where the user's files are."""

    jobs: list[list[str]]
    config_dir: Path | None


def planned(sweep: Path) -> Planned | None:
    """The jobs of the sweep in a directory.

    None where there is no record that can be read, where its jobs were to leave no runs there, as
    the cells of a reproduction, where another sweeper than Hydra's own chose them as it went, and
    where each job was given its own directory.
    """
    try:
        hydra = files.load(sweep / RECORD).hydra
        overrides, sweeper = _plain(hydra.overrides.task), _plain(hydra.sweeper)
        sources = _plain(hydra.runtime.config_sources)
        parameters = (f"{key}={value}" for key, value in (sweeper.get("params") or {}).items())
        parsed = OverridesParser.create().parse_overrides([*parameters, *overrides])
        given_places = any(override.key_or_group == "run_dir" for override in parsed)
        if hydra.job.config_name != "solve" or given_places:
            return None
        if not sweeper["_target_"].endswith(BasicSweeper.__name__):
            return None
        (jobs,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    except (files.Unreadable, HydraException, OmegaConfBaseException, LookupError, TypeError):
        return None
    own = (Path(each["path"]) for each in sources if each["provider"] == "command-line")
    return Planned(jobs, next(own, None))


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node)
