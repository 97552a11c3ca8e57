"""Configurations as runs keep them."""

from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from stde_cli.config.schema import SolveConfig
from stde_cli.config.validate import validate
from stde_cli.errors import UsageError
from stde_cli.runs import RunDirectory

_NOT_THE_RUN = ("run_dir", "resume", "tracker")
"""Keys that say where a run is kept and shown, not what it computes."""


def load(run: RunDirectory) -> DictConfig:
    """The configuration of a run, checked as a new one would be.

    Raises:
        UsageError: it is not a configuration of this version.
    """
    saved = _read(run)
    try:
        config = OmegaConf.merge(OmegaConf.structured(SolveConfig), saved)
    except (OmegaConfBaseException, ValueError) as error:
        reason = str(error).splitlines()[0]
        why = f"config.yaml is not one of this version ({reason})"
        raise UsageError("RUN", run.path, why) from error
    assert isinstance(config, DictConfig)
    if OmegaConf.missing_keys(config):
        missing = ", ".join(sorted(OmegaConf.missing_keys(config)))
        raise UsageError("RUN", run.path, f"config.yaml lacks {missing}")
    validate(config)
    return config


def describes_same_run(run: RunDirectory, config: DictConfig) -> bool:
    """Whether `run` was made by a configuration that computes the same numbers as `config`."""
    return _computed(_read(run)) == _computed(config)


def _read(run: RunDirectory) -> Any:
    try:
        return OmegaConf.load(run.config)
    except (OmegaConfBaseException, YAMLError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError("RUN", run.path, f"config.yaml cannot be read ({reason})") from error


def _computed(config: Any) -> dict[str, Any]:
    settings: Any = OmegaConf.to_container(config, resolve=True)
    return {key: value for key, value in settings.items() if key not in _NOT_THE_RUN}
