"""Configurations beside the one that was typed: a benchmark's methods, the candidates of a race.

Each is a list of overrides, on top of what the user typed.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict

from stde_cli.config.composition import choices, config_directory
from stde_cli.config.hydra_errors import explain
from stde_cli.config.schema import CandidateConfig
from stde_cli.config.targets import GROUPS
from stde_cli.system.errors import UsageError

_NOT_OF_A_CANDIDATE = ("pde", "dim", "seed", "run_dir", "resume", "race", "trial", "runtime")

Compose: TypeAlias = Callable[[list[str]], DictConfig]
"""From overrides to a configuration."""


class Candidate(NamedTuple):
    """A configuration that a race tries."""

    name: str
    config: DictConfig
    steps: int
    """Of training, before it is judged."""
    sampled: bool = True
    """Whether it is for equations with operators that are sampled on a guess."""


def variant_of(config: DictConfig, overrides: list[str], method: str) -> DictConfig:
    """`config` with the method's own overrides, the user's applying wherever they fit.

    Args:
        overrides: what the user typed.

    Raises:
        UsageError: one of the method's own is no override, or names what is not there.
    """
    changes = changes_of(config, method)
    _check_overrides(changes, f"bench.variants.{method}")
    variant = composed_here("bench", _on_top(overrides, changes))
    regrouped = _chosen_in(changes)
    with open_dict(variant):
        shared = "estimator" in regrouped and "estimator.batch" not in regrouped
        if shared and "batch" in variant.estimator and "batch" in config.estimator:
            # As it is written: the default goes with dim.
            written: Any = OmegaConf.to_container(config.estimator)
            variant.estimator.batch = written["batch"]
    return variant


def composed_here(command: str, overrides: list[str]) -> DictConfig:
    """As `composition.compose`, within a command that Hydra runs, and with its search path."""
    try:
        config = compose(command, overrides=overrides, return_hydra_config=True)
    # A group that is given a number is a ValueError of Hydra's.
    except (HydraException, ValueError) as error:
        raise explain(error, config_directory(), command) from error
    with open_dict(config):
        config.choices = choices(config.pop("hydra"))
    return config


def candidates(config: DictConfig, overrides: list[str], compose: Compose) -> list[Candidate]:
    """Those of `config.race`, in its order, but for what the user has decided. None: no race.

    A group that the user chose stays chosen: what would change it is not tried. Nor is what comes
    to the same as another one. Other keys of a candidate's give way to those that were typed.

    Args:
        overrides: what the user typed.

    Raises:
        UsageError: there is none, or a candidate's own are no overrides, or name what is not there.
    """
    found: list[Candidate] = []
    typed = {_key(override) for override in overrides}
    written: Any = OmegaConf.to_container(config.race.candidates)
    for name, settings in written.items():
        given = CandidateConfig(**settings)
        where = f"race.candidates.{name}.overrides"
        _check_overrides(given.overrides, where)
        if fixed := [o for o in given.overrides if _group(o) in _NOT_OF_A_CANDIDATE]:
            why = "candidates are of one problem, and run in one place"
            raise UsageError(where, fixed[0], why, "leave it out")
        changed = {_key(override) for override in given.overrides}
        most = given.up_to_dim or config.dim
        fits = given.from_dim <= config.dim <= most
        if not fits or typed & changed & GROUPS.keys():
            continue
        # A number that the user gave stays, too, where its group is not another now.
        regrouped = _chosen_in(given.overrides)
        changes = [
            o for o in given.overrides if _key(o) not in typed or _group(o) in regrouped - {_key(o)}
        ]
        own = compose(_on_top(overrides, changes))
        with open_dict(own):
            own.race.candidates = {}
        if all(own != other.config for other in found):
            steps = given.steps or config.race.steps
            found.append(Candidate(str(name), own, min(steps, own.steps), given.sampled))
    if config.race.candidates and not found:
        why = "none is left, for this dim and what was chosen"
        raise UsageError("race.candidates", None, why, "leave +experiment=accurate out")
    return found


def changes_of(config: DictConfig, method: str) -> list[str]:
    """The method's own overrides."""
    return list(config.bench.variants[method])


def sets(changes: list[str], key: str) -> bool:
    """Whether one of these overrides gives `key` its value."""
    return any(_key(change) == key for change in changes)


def _check_overrides(changes: list[str], where: str) -> None:
    for number, change in enumerate(changes):
        if not re.match(r"~|[+]*[\w./@]+=", change):
            raise UsageError(f"{where}[{number}]", change, "is no override", "write key=value")


def _on_top(overrides: list[str], changes: list[str]) -> list[str]:
    """The user's and then those of `changes`.

    Another choice in a group may lack the keys that the user set on the first: they are left out.
    """
    regrouped = _chosen_in(changes)
    kept = [o for o in overrides if _group(o) not in regrouped]
    return _with_one_list_of_experiments([*kept, *changes])


def _chosen_in(changes: list[str]) -> set[str]:
    return {key for key, sign, _ in (c.partition("=") for c in changes) if sign}


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _group(override: str) -> str:
    """The group that an override chooses from, or changes a key of."""
    return re.split(r"[./@=]", override.lstrip("+~"), maxsplit=1)[0]


def _with_one_list_of_experiments(overrides: list[str]) -> list[str]:
    """Hydra takes one value a group, or a list: the user's experiment and the method's."""
    names = [o.partition("=")[2].strip("[]") for o in overrides if _is_experiment(o)]
    others = [o for o in overrides if not _is_experiment(o)]
    return [*others, f"+experiment=[{','.join(names)}]"] if names else others


def _is_experiment(override: str) -> bool:
    return override.startswith("+experiment=")
