"""Every choice of every group composes, builds and trains for two steps."""

import itertools
import math
from pathlib import Path

import equinox as eqx
import jax
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, open_dict

from stde_cli.config.build import abstract_state, build, build_tracker, configured_jax
from stde_cli.config.schema import register
from stde_cli.config.validate import validate
from stde_cli.training import Executable

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
BASE = ["dim=6", "network.width=8", "estimator.batch=3", "train.points=5", "steps=20"]
SHALLOW = ["network.depth=2"]
LITTLE = {
    "least_squares": ["start.rounds=1", "start.window=2", "start.degree=2"],
    "random_features": ["start.features=20"],
}


def names(group: str) -> list[str]:
    return sorted(file.stem for file in (CONFIGS / group).glob("*.yaml"))


def composed(*overrides: str) -> DictConfig:
    register()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("solve", overrides=list(overrides))
    with open_dict(config):
        config.choices = {}
    validate(config)
    return config


def choices(group: str, more: dict[str, list[str]] | None = None) -> list[list[str]]:
    """Every name of a group, with what goes with it."""
    return [[f"{group}={name}", *(more or {}).get(name, [])] for name in names(group)]


def side_by_side(*columns: list[list[str]]) -> list[list[str]]:
    """Rows in which every entry of every column occurs, beside the defaults where one is short."""
    rows = itertools.zip_longest(*columns, fillvalue=[])
    return [[override for entry in row for override in entry] for row in rows]


# Compiling takes the time, so several choices share a run.
EQUATIONS = [
    [f"pde={pde}", f"pde/solution={solution}"]
    for pde in names("pde")
    if "- solution:" in (CONFIGS / "pde" / f"{pde}.yaml").read_text()
    for solution in names("pde/solution")
]
OPTIONS = [
    ["collocation=by_residual"],
    ["weighting=gradient_norm"],
    ["train.gradient_clip=1.0"],
    ["pde.radius=2.0"],
    ["network.depth=3"],
    ["network.activation=gelu"],
]
# All but the first take no sampler, and stand where none is left.
ESTIMATORS = [
    *([], [], [], [], []),
    ["estimator=nested_backward"],
    ["estimator=sdgd_backward_scan", "train.steps_per_call=1"],
    ["estimator=hte"],
    ["estimator=stde_unrestricted", "network=weight_sharing", "network.block_size=2"],
]
CHOICES = [
    *side_by_side(
        [equation + option for equation, option in zip(EQUATIONS, OPTIONS, strict=True)],
        *map(choices, ("optimizer", "schedule", "estimator/sampler")),
        # Backwards: gauss_newton would stand beside the one loss that is no sum of squares.
        choices("loss")[::-1],
        choices("start", LITTLE),
        ESTIMATORS,
    ),
    ["network=additive_mlp", "network.degree=2", "loss=gradient_enhanced", "loss.components=2"],
]


@pytest.mark.parametrize("choice", CHOICES, ids=" ".join)
def test_trains_for_two_steps(choice: list[str]) -> None:
    config = composed(*BASE, *SHALLOW, *choice)
    with configured_jax(config):
        built = build(config)
        executable = Executable(built.problem, abstract_state(config))
        state, losses = executable(eqx.filter_jit(built.initialise)(), 2)
    assert int(state.step) == 2
    assert all(math.isfinite(loss) for loss in losses[:2].tolist())


def test_exact_takes_no_batch() -> None:
    config = composed("dim=6", "estimator=exact", "network.width=8")
    assert "batch" not in config.estimator
    build(config)


@pytest.mark.parametrize("name", names("tracker"))
def test_trackers_build(name: str) -> None:
    build_tracker(composed(*BASE, f"tracker={name}"))


@pytest.mark.parametrize("name", names("experiment"))
def test_experiments_build(name: str) -> None:
    config = composed(f"+experiment={name}")
    build(config)


def test_every_yaml_file_opens_with_a_line_that_lists_it() -> None:
    for file in CONFIGS.rglob("*.yaml"):
        assert file.read_text().startswith("# "), file


def test_a_gpu_of_one_maker_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX reads `gpu` in its list of platforms as those of every maker, and fails without one."""
    listed, cpus, setting = [], jax.local_devices(backend="cpu"), "jax_platforms"

    def devices(name: str) -> list[object]:
        listed.append((name, getattr(jax.config, setting)))
        return cpus

    monkeypatch.setattr(jax, "devices", devices)
    before = getattr(jax.config, setting)
    for platform in ("cpu", "gpu"):
        with configured_jax(composed(*BASE, f"runtime.platform={platform}")):
            pass
    assert listed == [("cpu", "cpu"), ("gpu", before)]
