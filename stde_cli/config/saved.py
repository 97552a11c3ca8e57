"""The configuration of a run, read back and checked."""

from collections.abc import Iterator
from pkgutil import resolve_name
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stde_cli.config.kept import NOT_THE_RUN, read
from stde_cli.config.schema import SolveConfig
from stde_cli.config.targets import Untrusted
from stde_cli.config.validate import validate
from stde_cli.runs.directory import RunDirectory
from stde_cli.system.errors import UsageError


def load(run: RunDirectory, *, trust: bool = False, tracked: bool = False) -> DictConfig:
    """The configuration of a run, checked as a new one would be.

    Args:
        trust: classes that come neither from this package nor from optax may be imported. A run
            directory can be anybody's, and its configuration names code.
        tracked: its tracker is wanted, too.

    Raises:
        UsageError: it is not a configuration of this version, or names code that is not trusted.
    """
    saved = read(run)
    try:
        config = OmegaConf.merge(OmegaConf.structured(SolveConfig), saved)
        missing = ", ".join(sorted(OmegaConf.missing_keys(config)))
    except (OmegaConfBaseException, ValueError) as error:
        reason = str(error).splitlines()[0]
        why = f"config.yaml is not one of this version ({reason})"
        raise UsageError("RUN", run.path, why) from error
    assert isinstance(config, DictConfig)
    _refuse_targets_that_moved(run, config)
    if missing:
        raise UsageError("RUN", run.path, f"config.yaml lacks {missing}")
    try:
        validate(config, trusted=trust, tracked=tracked, new=False)
    except Untrusted as untrusted:
        why = f"config.yaml names {untrusted}, code that is not part of stde"
        mend = "if you trust whoever made the run, add --trust"
        raise UsageError("RUN", run.path, why, mend) from untrusted
    return config


def chosen(run: RunDirectory, config: DictConfig) -> DictConfig:
    """What a run that `config` began computes: another configuration, where a race has chosen."""
    if not run.asked.exists():
        return config
    found = load(run, trust=True, tracked=True)
    for key in NOT_THE_RUN:
        found[key] = config[key]
    return found


def _refuse_targets_that_moved(run: RunDirectory, config: DictConfig) -> None:
    """A run of a version that kept its classes elsewhere; its checkpoints hold them too."""
    for target in _targets(OmegaConf.to_container(config)):
        if target.startswith("stde_cli."):
            try:
                resolve_name(target)
            except Exception as error:
                why = f"config.yaml names {target}, which only an earlier version has"
                raise UsageError("RUN", run.path, why, "solve it anew, or use that one") from error


def _targets(settings: Any) -> Iterator[str]:
    """Every `_target_` within the settings."""
    if isinstance(settings, dict):
        if isinstance(target := settings.get("_target_"), str):
            yield target
        settings = list(settings.values())
    if isinstance(settings, list):
        for each in settings:
            yield from _targets(each)
