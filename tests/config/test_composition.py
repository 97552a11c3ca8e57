"""Configurations composed within a program, as the command line composes them."""

from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from stde_cli.config.composition import compose, override
from stde_cli.system.errors import UsageError

VALUES = [
    None, True, 3, np.int32(4), 1e-3, np.float64(0.5), float("inf"), "plain/text-1.0_a", "null",
    "12", "", "two words", "it's {here}: [a, b]=c", "back\\slash", "ends in \\", "ü", "a$b",
    [1, [2.5, None]], (1, 2), {"a": [1, "x y"], "b": {"c": True}}, np.arange(3),
]  # fmt: skip


def test_a_value_of_python_is_read_back_as_it_was() -> None:
    typed = [override(f"+pde.parameters.c{k}", value) for k, value in enumerate(VALUES)]
    parameters: Any = OmegaConf.to_container(compose("solve", typed).pde.parameters)
    for k, value in enumerate(VALUES):
        found = parameters[f"c{k}"]
        wanted = value.tolist() if isinstance(value, np.ndarray) else value
        assert found == (list(wanted) if isinstance(wanted, tuple) else wanted), value
        assert type(found) in (type(wanted), int, float, list), value


def test_what_no_configuration_holds_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^steps: a configuration holds no object; give numbers"):
        override("steps", object())


def test_choices_are_named_and_a_directory_of_the_users_is_searched(tmp_path: Path) -> None:
    own = tmp_path / "with space" / "pde"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("# Mine\n_target_: stde_cli.Symbolic\ndim: 3\n")
    config = compose("solve", ["pde=mine"], config_dir=own.parent)
    assert (config.choices.pde, config.choices.optimizer) == ("mine", "adam")
    assert "hydra" not in config
    with pytest.raises(UsageError, match=r"^pde=mine: no such choice"):
        compose("solve", ["pde=mine"])
    with pytest.raises(UsageError, match=r"^config_dir=nowhere: no such directory"):
        compose("solve", [], config_dir="nowhere")


# A PDE's settings beside its class, what is typed, and the dim of the run.
DIMS: list[tuple[str, list[str], int]] = [
    ("coordinates: {t: [0, 1], x: [-1, 1], y: [0, 2]}", [], 3),
    ("coordinates: {x: [0, 1], y: '${pde.coordinates.x}'}", [], 2),
    ("coordinates: {x: [0, '${pde.parameters.l}']}\nparameters: {l: 2}", [], 1),
    ("coordinates: {t: [0, 1], x: {ball: 1, count: 4}}", [], 5),
    ("coordinates: {x: {ball: 1, count: '${pde.parameters.n}'}}\nparameters: {n: 4}", [], 4),
    ("coordinates: {t: [0, 1]}", ["+pde.coordinates.x=[0,2]"], 2),
    ("coordinates: {t: [0, 1], x: [0, 1]}", ["dim=7"], 7),
    ("coordinates: {t: [0, 1], x: [0, 1]}\ndim: 7", [], 7),
    ("coordinates: {t: [0, 1], x: {ball: 1}}", [], 1000),
    ("coordinates: {t: [0, 1], x: {ball: 1}}\ndim: 20", [], 20),
    ("coordinates: {t: [0, 1], x: {ball: 1}}\ndim: 20", ["dim=30"], 30),
    ("coordinates: {x: {ball: 1, count: '${dim}'}}", [], 1000),
    ("coordinates: {x: '${oc.env:STDE_UNSET}'}", [], 1000),
    ("coordinates: '${pde.nowhere}'", [], 1000),
    ("coordinates: {x: 3, y: [0, 1]}", [], 1000),
    ("coordinates: {}", [], 1000),
    ("coordinates: [1, 2]", [], 1000),
    ("radius: 1", [], 1000),
]


@pytest.mark.parametrize(("settings", "typed", "dim"), DIMS)
def test_coordinates_with_a_name_each_are_counted(
    settings: str, typed: list[str], dim: int, tmp_path: Path
) -> None:
    (tmp_path / "pde").mkdir()
    (tmp_path / "pde" / "mine.yaml").write_text(f"_target_: stde_cli.Symbolic\n{settings}\n")
    config = compose("solve", ["pde=mine", *typed], config_dir=tmp_path)
    assert config.dim == dim
    assert config.estimator.batch == min(dim, 16)


def test_hydra_in_the_hands_of_the_program_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").write_text("a: 1")
    assert not GlobalHydra.instance().is_initialized()
    compose("solve", [])
    assert not GlobalHydra.instance().is_initialized()
    with hydra.initialize_config_dir(str(tmp_path), version_base="1.1"):
        compose("solve", [])
        with pytest.raises(UsageError):
            compose("solve", ["nothing=1"])
        assert hydra.compose("theirs") == {"a": 1}


@pytest.mark.parametrize(
    ("overrides", "precision"),
    [
        ([], "float32"),
        (["start=random_features", "pde=kdv_1d"], "float64"),
        (["optimizer=gauss_newton"], "float64"),
        (["optimizer=gauss_newton", "optimizer.precision=null"], "float32"),
        (["optimizer=gauss_newton", "start=random_features", "start.precision=float32"], "float64"),
    ],
)
def test_the_precision_is_what_start_or_optimizer_asks_for(overrides, precision) -> None:
    assert compose("solve", overrides).runtime.precision == precision
