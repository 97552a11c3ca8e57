"""Configurations as runs keep them, and whether two of them compute the same.

No class is imported that a configuration names, and not JAX: a finished run is known in a moment.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, resolvers

from stde_cli.config import files
from stde_cli.runs.directory import RunDirectory
from stde_cli.system.errors import UsageError

_OF_A_STUDY = "trial"
"""Says of which study a run is a trial: of no one that goes on with it by hand."""
NOT_THE_RUN = ("run_dir", "resume", "report", "tracker", "reference", "cluster", _OF_A_STUDY)
"""Keys that say where a run is kept and shown, not what it computes."""


def read(run: RunDirectory) -> Any:
    """The configuration that a run kept, not yet checked.

    Raises:
        UsageError: it cannot be read.
    """
    return _read(run, run.config)


def _asked(run: RunDirectory) -> Any:
    """The configuration that was typed, where a race has chosen another."""
    return _read(run, run.asked if run.asked.exists() else run.config)


def _read(run: RunDirectory, file: Path) -> Any:
    try:
        return files.load(file)
    except files.Unreadable as error:
        raise UsageError("RUN", run.path, f"{file.name} cannot be read ({error})") from error


def kept(config: DictConfig) -> dict[str, Any]:
    """A configuration as a run keeps it: resolved, but for what the environment says.

    What `${oc.env:NAME}` stands for may be a secret, and is another on another machine.
    """
    asked: list[str] = []

    def env(name: str, default: Any = _NOTHING) -> str | None:
        asked.append(name)
        return resolvers.oc.env(name, *(() if default is _NOTHING else (default,)))

    OmegaConf.register_new_resolver("oc.env", env, replace=True)
    try:
        written: Any = OmegaConf.to_container(config)
        written.pop(_OF_A_STUDY, None)
        return _without_environment(config, written, asked)
    finally:
        OmegaConf.register_new_resolver("oc.env", resolvers.oc.env, replace=True)


_NOTHING = object()


def _without_environment(node: Any, raw: Any, asked: list[str]) -> Any:
    """The values of a mapping or a list; those that ask for the environment as `raw` has them."""
    items = raw.items() if isinstance(raw, dict) else enumerate(raw)
    found = {}
    for key, written in items:
        asked.clear()
        if isinstance(written, dict | list):
            found[key] = _without_environment(node[key], written, asked)
        else:
            value = node[key]
            if OmegaConf.is_config(value):
                value = OmegaConf.to_container(value, resolve=True)
            found[key] = written if asked else value
    return found if isinstance(raw, dict) else list(found.values())


def settings(config: DictConfig) -> dict[str, Any]:
    """What a run of `config` would keep of all that its numbers depend on, by dotted keys.

    The seed is among them; `choices.GROUP` is the name that was chosen in a group.
    """
    return dict(_leaves(kept(config)))


def settings_of(run: RunDirectory) -> dict[str, Any]:
    """`settings` of the configuration that a run kept, which need not be of this version.

    Raises:
        UsageError: it cannot be read.
    """
    return dict(_leaves(OmegaConf.to_container(read(run))))


def _leaves(node: Any, under: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if not under and key in NOT_THE_RUN:
            continue
        if isinstance(value, dict):
            yield from _leaves(value, f"{under}{key}.")
        else:
            yield f"{under}{key}", value


def describes_same_run(run: RunDirectory, config: DictConfig) -> bool:
    """Whether `run` was made by a configuration that computes the same numbers as `config`."""
    return _computed(_asked(run)) == _computed(config)


def difference(run: RunDirectory, config: DictConfig) -> str:
    """The first key, with its value there, by which `run` is not one of `config`."""
    return _first_difference(_computed(_asked(run)), _computed(config))


def _first_difference(there: dict[str, Any], here: dict[str, Any], under: str = "") -> str:
    key = next((key for key in here if there.get(key, _NOTHING) != here[key]), None)
    if key is None:
        return ""
    value = there.get(key)
    if isinstance(value, dict) and isinstance(here[key], dict):
        return _first_difference(value, here[key], f"{under}{key}.") or f"{under}{key}"
    return f"{under}{key}" if value is None or isinstance(value, dict) else f"{under}{key}={value}"


def slug(config: DictConfig) -> str:
    """What the directory of a run is called, where the user does not say."""
    parts = (config.choices.get("pde"), config.choices.get("pde/solution"), f"d{config.dim}")
    return "-".join(filter(None, (*parts, f"s{config.seed}")))


def _computed(config: Any) -> dict[str, Any]:
    settings: Any = OmegaConf.to_container(config, resolve=True)
    found = {key: value for key, value in settings.items() if key not in NOT_THE_RUN}
    chosen = found.get("choices") or {}
    return found | {"choices": {k: v for k, v in chosen.items() if k not in NOT_THE_RUN}}
