"""The sweep that a run is a job of, as the files around it tell: a resumed run finds it again."""

import shlex
from typing import NamedTuple

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stde_cli.runs.directory import RunDirectory
from stde_cli.system.errors import UsageError

RECORD = "multirun.yaml"
"""What is written into a sweep's directory, before any of its jobs begins."""

_OF_THE_PLACE = ("run_dir", "resume")


class Sweep(NamedTuple):
    """
    Attributes:
        name: of its directory.
        kind: sweep, or study where its jobs are trials.
        varied: the overrides of this job that others have otherwise.
    """

    name: str
    kind: str
    varied: list[str]


def sweep_of(run: RunDirectory) -> Sweep | None:
    """None for a run by itself, and where the record cannot be read."""
    directory = run.path.absolute().parent
    try:
        hydra = OmegaConf.load(directory / RECORD).hydra
        common = list(hydra.overrides.task)
        kind = "study" if "Optuna" in hydra.sweeper._target_ else "sweep"
        typed = shlex.split(run.read_summary().command)[2:]
    # YAML's own errors are many.
    except (OSError, ValueError, OmegaConfBaseException, UsageError, AttributeError):
        return None
    varied = [
        text for text in typed if text not in common and text.partition("=")[0] not in _OF_THE_PLACE
    ]
    return Sweep(directory.name, kind, varied)
