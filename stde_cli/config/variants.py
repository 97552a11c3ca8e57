"""A benchmark's methods: each a list of overrides, on top of what the user typed."""

import re
from typing import Any

from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict

from stde_cli.config.composition import choices, config_directory
from stde_cli.config.hydra_errors import explain
from stde_cli.system.errors import UsageError


def variant_of(config: DictConfig, overrides: list[str], method: str) -> DictConfig:
    """`config` with the method's own overrides, the user's applying wherever they fit.

    Args:
        overrides: what the user typed.

    Raises:
        UsageError: one of the method's own is no override, or names what is not there.
    """
    changes = changes_of(config, method)
    regrouped = {key for key, sign, _ in (c.partition("=") for c in changes) if sign}
    # Another choice in a group may lack the keys set on the first; the batch is shared below.
    kept = [o for o in overrides if _group(o) not in regrouped]
    together = _with_one_list_of_experiments([*kept, *changes])
    for number, change in enumerate(changes):
        if not re.match(r"~|[+]*[\w./@]+=", change):
            key = f"bench.variants.{method}[{number}]"
            raise UsageError(key, change, "is no override", "write key=value")
    try:
        variant = compose("bench", overrides=together, return_hydra_config=True)
    # A group that is given a number is a ValueError of Hydra's.
    except (HydraException, ValueError) as error:
        raise explain(error, config_directory(), "bench") from error
    with open_dict(variant):
        variant.choices = choices(variant.pop("hydra"))
        shared = "estimator" in regrouped and "estimator.batch" not in regrouped
        if shared and "batch" in variant.estimator and "batch" in config.estimator:
            # As it is written: the default goes with dim.
            written: Any = OmegaConf.to_container(config.estimator)
            variant.estimator.batch = written["batch"]
    return variant


def changes_of(config: DictConfig, method: str) -> list[str]:
    """The method's own overrides."""
    return list(config.bench.variants[method])


def sets(changes: list[str], key: str) -> bool:
    """Whether one of these overrides gives `key` its value."""
    return any(change.lstrip("+").partition("=")[0] == key for change in changes)


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
