"""The ranges of Hydra's override grammar, as optuna has them.

a,b,c and choice(a, b)      one of these
range(low, high, step)      every `step`th number, without `high`
interval(low, high)         any number; whole ones where the key holds a whole number
tag(log, interval(...))     by its logarithm
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    IntervalSweep,
    Override,
    QuotedString,
    RangeSweep,
    Transformer,
)
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from stde_cli.system.errors import UsageError

_LOG = "log"
_EXAMPLE = "write 'optimizer.learning_rate=tag(log, interval(1e-4, 1e-2))', say"

SearchSpace = Mapping[str, BaseDistribution]
"""By the key as it is typed: network.width, +pde.shift, network."""


def split(overrides: Sequence[Override]) -> tuple[list[str], list[Override]]:
    """What is the same in each trial, as it is typed, and what is searched.

    Raises:
        UsageError: nothing is searched.
    """
    searched = [override for override in overrides if override.is_sweep_override()]
    fixed = [str(override.input_line) for override in overrides if override not in searched]
    if not searched:
        raise UsageError("hydra/sweeper", "optuna", "no key is given a range", _EXAMPLE)
    return fixed, searched


def search_space(searched: Sequence[Override], config: DictConfig) -> SearchSpace:
    """
    Args:
        config: composed of all that is not searched.

    Raises:
        UsageError: a range is empty, or no range of the values that its key takes.
    """
    return {each.get_key_element(): _distribution(each, config) for each in searched}


def overrides_of(values: Mapping[str, Any]) -> list[str]:
    """The values of a trial, as they would be typed."""
    return [f"{key}={_text(value)}" for key, value in values.items()]


def an_example(space: SearchSpace) -> dict[str, Any]:
    """Values within the ranges."""
    return {
        key: each.choices[0] if isinstance(each, CategoricalDistribution) else _low(each)
        for key, each in space.items()
    }


def _low(distribution: Any) -> float:
    return distribution.low


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else repr(value)


def _distribution(override: Override, config: DictConfig) -> BaseDistribution:
    found: Any = override.value()
    if isinstance(found, IntervalSweep):
        return _interval(override, found, config)
    if isinstance(found, RangeSweep):
        return _range(override, found)
    assert isinstance(found, ChoiceSweep | Glob)
    if isinstance(found, ChoiceSweep) and found.tags:
        raise _refused(override, "a tag goes with numbers, not with choices", "leave it out")
    choices = [_choice(value) for value in override.sweep_iterator()]
    if not choices:
        raise _refused(override, "nothing is called so", "see: stde list")
    return CategoricalDistribution(list(dict.fromkeys(choices)))


def _choice(value: Any) -> str | int | float | bool:
    """A plain value as it is, for tables; else as it is typed."""
    plain = isinstance(value, int | float) and not isinstance(value, QuotedString)
    return value if plain else Transformer.str(value)


def _interval(override: Override, found: IntervalSweep, config: DictConfig) -> BaseDistribution:
    log = _is_logarithmic(override, found.tags)
    low, high = found.start, found.end
    assert low is not None
    assert high is not None
    present = OmegaConf.select(config, override.key_or_group, default=None)
    # A key that holds nothing yet, null say, may take numbers: the schema will tell.
    if isinstance(present, bool) or not isinstance(present, int | float | None):
        shown = "a choice" if OmegaConf.is_config(present) else present
        why = f"an interval is one of numbers, and the key holds {shown}"
        raise _refused(override, why, "write its values, with commas")
    if not low < high:
        raise _refused(override, "is empty", "write interval(low, high)")
    _check_logarithm(override, low, log)
    if isinstance(present, int) and low == int(low) and high == int(high):
        return IntDistribution(int(low), int(high), log=log)
    if isinstance(present, int):
        raise _refused(override, "the key holds a whole number", "give it whole ends")
    return FloatDistribution(low, high, log=log)


def _range(override: Override, found: RangeSweep) -> BaseDistribution:
    log = _is_logarithmic(override, found.tags)
    if not found.step:
        raise _refused(override, "its step is zero", "write range(low, high, step)")
    values = sorted(found.range())
    if not values:
        raise _refused(override, "is empty", "write range(low, high, step)")
    _check_logarithm(override, values[0], log)
    step = abs(found.step)
    if log and step != 1:
        why = "its numbers are evenly apart, which their logarithms are not"
        raise _refused(override, why, "write tag(log, interval(low, high))")
    if all(isinstance(value, int) for value in values):
        return IntDistribution(values[0], values[-1], log=log, step=int(step))
    return FloatDistribution(values[0], values[-1], step=float(step))


def _is_logarithmic(override: Override, tags: set[str]) -> bool:
    if unknown := sorted(tags - {_LOG}):
        raise _refused(override, f"no such tag as {unknown[0]}", f"there is {_LOG}")
    return _LOG in tags


def _check_logarithm(override: Override, low: float, log: bool) -> None:
    if log and low <= 0:
        raise _refused(override, "zero and what is below it has no logarithm", "leave out the tag")


def _refused(override: Override, why: str, mend: str) -> UsageError:
    return UsageError(override.get_key_element(), override.get_value_string(), why, mend)
