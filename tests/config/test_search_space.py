"""From Hydra's ranges to optuna's distributions."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from stde_cli.config.search_space import an_example, overrides_of, search_space, split
from stde_cli.system.errors import UsageError

CONFIG = OmegaConf.create(
    {"rate": 1e-3, "width": 128, "clip": None, "check": True, "name": "adam", "of": {"x": 1}}
)


def parsed(*texts: str) -> tuple[list[str], dict[str, BaseDistribution]]:
    fixed, searched = split(OverridesParser.create().parse_overrides(list(texts)))
    return fixed, dict(search_space(searched, CONFIG))


@pytest.mark.parametrize(
    ("text", "distribution"),
    [
        ("rate=tag(log, interval(1e-4, 1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("rate=interval(0, 1)", FloatDistribution(0.0, 1.0)),
        ("clip=interval(1, 2)", FloatDistribution(1.0, 2.0)),
        ("width=interval(16, 64)", IntDistribution(16, 64)),
        ("width=tag(log, interval(16, 64))", IntDistribution(16, 64, log=True)),
        ("width=range(16, 64, 16)", IntDistribution(16, 48, step=16)),
        ("width=range(64, 16, -16)", IntDistribution(32, 64, step=16)),
        ("width=tag(log, range(1, 9))", IntDistribution(1, 8, log=True)),
        ("rate=range(0.5, 2.1, 0.5)", FloatDistribution(0.5, 2.0, step=0.5)),
        ("width=64,128,64", CategoricalDistribution([64, 128])),
        ("name=adam,'a b',null", CategoricalDistribution(["adam", "'a b'", "null"])),
        ("check=true,false", CategoricalDistribution([True, False])),
        ("+new=[1,2],[3]", CategoricalDistribution(["[1,2]", "[3]"])),
    ],
)
def test_a_range_is_a_distribution(text: str, distribution: BaseDistribution) -> None:
    fixed, space = parsed("seed=3", text)
    assert fixed == ["seed=3"]
    assert space == {text.partition("=")[0]: distribution}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rate=interval(1, 1)", "is empty"),
        ("width=range(5, 5)", "is empty"),
        ("width=range(1, 5, 0)", "step is zero"),
        ("name=interval(0, 1)", "the key holds adam"),
        ("check=interval(0, 1)", "the key holds True"),
        ("of=interval(0, 1)", "the key holds a choice"),
        ("width=interval(1, 2.5)", "a whole number"),
        ("rate=tag(log, interval(0, 1))", "no logarithm"),
        ("width=tag(log, range(1, 9, 2))", "evenly apart"),
        ("rate=tag(linear, interval(0, 1))", "no such tag as linear"),
        ("width=tag(log, choice(1, 2))", "not with choices"),
        ("seed=3", "no key is given a range"),
    ],
)
def test_what_is_no_range_is_refused(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parsed(text)


def test_values_are_typed_as_overrides() -> None:
    values = {"rate": 1e-05, "check": True, "name": "'a b'", "width": 64}
    typed = overrides_of(values)
    assert typed == ["rate=1e-05", "check=true", "name='a b'", "width=64"]
    again = {o.key_or_group: o.value() for o in OverridesParser.create().parse_overrides(typed)}
    assert again == {"rate": 1e-05, "check": True, "name": "a b", "width": 64}


def test_an_example_lies_within() -> None:
    _, space = parsed("rate=interval(0.1, 1)", "name=adam,sgd")
    assert an_example(space) == {"rate": 0.1, "name": "adam"}
