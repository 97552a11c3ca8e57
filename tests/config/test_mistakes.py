"""Each key of the configuration × each kind of mistake: refused, at its key, in one line."""

import dataclasses
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, cast, get_type_hints

import pytest
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from stde_cli.config.composition import compose
from stde_cli.config.schema import BenchmarkConfig, ReproductionConfig, SolveConfig
from stde_cli.config.validate import validate
from stde_cli.system.errors import UsageError

MISTAKES = {
    "null": None,
    "text": "abc",
    "negative": -1,
    "nan": float("nan"),
    "infinite": float("inf"),
    "huge": 10**40,
    "list": [1],
    "mapping": {"a": 1},
    "empty": "",
}
TOGETHER = [
    ["pde=allen_cahn"],
    ["start=least_squares", "network=additive_mlp", "loss=gradient_enhanced", "optimizer=adamw"],
    ["collocation=by_residual", "weighting=gradient_norm", "schedule=cosine", "tracker=wandb"],
    ["network=weight_sharing", "optimizer=lbfgs", "schedule=exponential"],
    ["optimizer=muon", "pde=biharmonic", "estimator/sampler=rademacher"],
    ["optimizer=sgd", "pde=kdv_1d", "start=random_features"],
    ["optimizer=gauss_newton"],
]
OPTIONAL = """train.gradient_clip train.log_every train.steps_per_call evaluation.every
    checkpoint.every runtime.platform loss.components
    optimizer.consistent_rms optimizer.momentum optimizer.precision network.of
    start.of start.features start.precision
    reference.error reference.level reference.out""".split()
"""null is a value of theirs."""
FREE = ["run_dir", "runtime.compilation_cache", "reference.out"]
"""A path may be called anything."""
READ_LATER = ["pde.coordinates", "pde.parameters", "pde.residual", "pde.solution", "pde.source"]
READ_LATER += ["pde.constraint", "pde.lift", "network.of", "start.of"]
"""Texts, and what stands in them, are read when the PDE is built."""


def leaves(node: Any, key: str = "") -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from leaves(value, f"{key}.{name}" if key else name)
    elif not isinstance(node, list):
        yield key


def stands(key: str, mistake: str) -> bool:
    if key in OPTIONAL and mistake == "null":
        return True
    later = any(key == read or key.startswith(f"{read}.") for read in READ_LATER)
    return key in FREE or (later and mistake not in ("nan", "infinite", "huge"))


def refusal(config: DictConfig, key: str, value: Any) -> str | None:
    wrong = deepcopy(config)
    try:
        with open_dict(wrong):
            OmegaConf.update(wrong, key, value, merge=False)
        validate(wrong)
    except OmegaConfBaseException:
        # Of the wrong type: told by the command line at the override.
        return key
    except UsageError as error:
        return str(error)
    return None


def chosen(choice: list[str]) -> tuple[str, ...]:
    """What a row chooses that the first does not: elsewhere its keys are those of the first."""
    first = choice is TOGETHER[0]
    return () if first else tuple(f"{each.partition('=')[0].split('/')[0]}." for each in choice)


@pytest.mark.parametrize("choice", TOGETHER, ids=" ".join)
def test_every_mistake_at_every_key_is_refused(choice: list[str]) -> None:
    config = compose("solve", choice)
    validate(config)
    # Two are filled in by the program itself.
    typed = {k: v for k, v in config.items() if k not in ("choices", "trial")}
    within = chosen(choice) or ("",)
    every = leaves(OmegaConf.to_container(OmegaConf.create(typed)))
    keys = [key for key in every if key.startswith(within)]
    assert len(keys) > len(choice)
    for key in keys:
        for mistake, value in MISTAKES.items():
            told = refusal(config, key, value)
            assert told or stands(key, mistake), f"{key}: {mistake} is accepted"
            assert "\n" not in (told or "")
            # A PDE's own dimension is that of the run.
            # What a start asks for is told where it would take effect.
            places = key.split(".")[0], key.split(".")[-1], f"runtime.{key.split('.')[-1]}"
            assert (told or key).startswith(places), told


def lists(schema: type, under: str) -> Iterator[str]:
    """The keys of a schema, and of those within it, whose values are lists."""
    for name, hint in get_type_hints(schema).items():
        if dataclasses.is_dataclass(hint):
            yield from lists(cast(type, hint), f"{under}{name}.")
        elif str(hint).startswith("list["):
            yield f"{under}{name}"


COMMANDS = {"bench": BenchmarkConfig, "reproduce": ReproductionConfig, "solve": SolveConfig}
LISTS = [(name, key) for name, schema in COMMANDS.items() for key in lists(schema, "")]
LISTS += [("reproduce", f"recipes.{name}") for name in ("published", "accurate")]


@pytest.mark.parametrize(("command", "key"), LISTS)
def test_what_is_no_list_where_one_belongs(command: str, key: str) -> None:
    # What a value may be is seen at the first of a command's keys.
    first = key == next(each for name, each in LISTS if name == command)
    for value in ("5", "abc", "1.5", "true") if first else ("abc",):
        with pytest.raises(UsageError) as told:
            compose(command, [f"{key}={value}"])
        assert str(told.value) == f"{key}={value}: must be a list; write {key}=[{value}]"
    if not first:
        return
    with pytest.raises(UsageError) as told:
        compose(command, [f"{key}={{a:1}}"])
    assert str(told.value) == f"{key}={{a:1}}: must be a list"


def test_there_are_such_keys_of_each_kind() -> None:
    assert {("bench", "bench.dims"), ("bench", "bench.methods")} < set(LISTS)
    assert {("reproduce", "reproduce.columns"), ("reproduce", "reproduce.rows")} < set(LISTS)
