"""The cells of a benchmark: a method with a dimension, a number of directions, a width."""

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pkgutil import resolve_name
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from stde_cli.config.kept import kept
from stde_cli.config.validate import validate
from stde_cli.config.variants import changes_of, sets
from stde_cli.system.errors import UsageError

AXES = {"dim": "dim", "batch": "estimator.batch", "width": "network.width"}
"""What may be swept, by the name that a row has for it."""

_SWEPT = {"dim": "dims", "batch": "batches", "width": "widths"}
_NOT_THE_FIGURES = ("run_dir", "resume", "tracker", "reference", "checkpoint", "choices", "bench")
_OF_BENCH = ("until", "blocks", "block_seconds")
"""What in `bench` the figures depend on."""


@dataclass(frozen=True, eq=False)
class Cell:
    method: str
    config: DictConfig
    refused: UsageError | None = None
    """Why its configuration cannot be."""

    @cached_property
    def digest(self) -> str:
        """The same for every configuration that computes the same, by a method of this name."""
        settings = kept(self.config)
        figures = {k: v for k, v in settings.items() if k not in _NOT_THE_FIGURES}
        measuring = {key: settings["bench"][key] for key in _OF_BENCH}
        text = json.dumps([self.method, figures, measuring], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def described(self) -> dict[str, Any]:
        """What a row says of its cell."""
        config = self.config
        return {
            "method": self.method,
            "pde": config.choices.get("pde"),
            "solution": config.choices.get("pde/solution"),
            **{axis: OmegaConf.select(config, key) for axis, key in AXES.items()},
            "points": config.train.points,
            "cell": self.digest,
        }


Group = tuple[Cell, ...]
"""Methods of one setting, which are compared with each other."""


def groups_of(config: DictConfig, variants: Mapping[str, DictConfig]) -> list[Group]:
    """The cells of `bench.dims`, `bench.batches` and `bench.widths`, each once.

    A method that has no such key, or sets it itself, has the same cell all along that axis.

    Args:
        variants: the configuration of each method.

    Raises:
        UsageError: there is nothing to sweep over, or no cell of a method can be.
    """
    seen = set[str]()
    groups = list[Group]()
    for setting in _settings(config):
        group = [_cell(config, method, variant, setting) for method, variant in variants.items()]
        new = [cell for cell in group if cell.digest not in seen]
        seen.update(cell.digest for cell in new)
        groups.append(tuple(new))
    cells = [cell for group in groups for cell in group]
    for method in variants:
        own = [cell for cell in cells if cell.method == method]
        if own[0].refused and all(cell.refused for cell in own):
            raise own[0].refused
    return [group for group in groups if group]


def _settings(config: DictConfig) -> Iterator[dict[str, int]]:
    swept = {axis: config.bench[name] for axis, name in _SWEPT.items()}
    for axis, values in swept.items():
        if values is not None and not values:
            raise UsageError(f"bench.{_SWEPT[axis]}", "[]", "there is nothing to measure")
    axes = {axis: values for axis, values in swept.items() if values is not None}
    for values in product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def _cell(config: DictConfig, method: str, variant: DictConfig, setting: dict[str, int]) -> Cell:
    found = copy.deepcopy(variant)
    changes = changes_of(config, method)
    for axis, value in setting.items():
        key = AXES[axis]
        if not sets(changes, key) and _has(found, key):
            with open_dict(found):
                OmegaConf.update(found, key, value)
    try:
        validate(found)
        _check_until(found)
    except UsageError as error:
        return Cell(method, found, error)
    return Cell(method, found)


def _check_until(config: DictConfig) -> None:
    """What the configuration says already; of a class that gives none, its measurement will say."""
    apart = getattr(resolve_name(config.estimator._target_), "trains_itself", False)
    if config.bench.until is not None and apart:
        name = config.choices.get("estimator")
        why = f"steps of estimator={name} are timed, but not trained to an error"
        raise UsageError("bench.until", config.bench.until, why, "set bench.until=null")
    known = not _has(config, "pde.solution") or config.pde.solution is not None
    if config.bench.until is not None and not known:
        raise no_solution(config)


def no_solution(config: DictConfig) -> UsageError:
    """Of a PDE that errors are to be taken of."""
    why = f"pde={config.choices.get('pde')} has no known solution to take errors against"
    mend = "set bench.until=null, or give pde.solution"
    return UsageError("bench.until", config.bench.until, why, mend)


def _has(config: DictConfig, key: str) -> bool:
    group, _, name = key.rpartition(".")
    node = OmegaConf.select(config, group) if group else config
    return OmegaConf.is_dict(node) and name in node
