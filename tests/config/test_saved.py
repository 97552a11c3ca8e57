"""What a run keeps of its configuration, and what it may name."""

from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf, open_dict

from stde_cli.config import saved
from stde_cli.config.kept import kept
from stde_cli.config.targets import check_group
from stde_cli.runs.directory import RunDirectory
from stde_cli.system.errors import UsageError
from tests.config.test_build import BASE, composed


def test_what_the_environment_says_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hush")
    monkeypatch.setenv("STEPS", "7")
    config = composed(*BASE, "tracker=wandb", "steps=${oc.env:STEPS}", "pde.radius=2")
    with open_dict(config):
        config.tracker.trackers[1].entity = "${oc.env:SECRET}"
        config.tracker.trackers[1].group = "of-${tracker.trackers.1.entity}"
        config.tracker.trackers[1].project = "d${dim}"
    found = kept(config)
    assert "hush" not in yaml.safe_dump(found)
    wandb = found["tracker"]["trackers"][1]
    assert wandb["entity"] == "${oc.env:SECRET}"
    assert wandb["group"] == "of-${tracker.trackers.1.entity}"
    assert wandb["project"] == "d6"
    assert found["steps"] == "${oc.env:STEPS}"
    assert OmegaConf.create(found).tracker.trackers[1].group == "of-hush"
    assert config.tracker.trackers[1].entity == "hush", "Hydra's own resolver is back"


@cache
def base() -> DictConfig:
    return composed(*BASE)


# A place in the configuration, what stands there, and what is said.
NAMED = [
    ("network._target_", "os.system", ["network._target_=os.system", "is no"]),
    ("network._target_", "builtins.exec", ["builtins.exec", "is no"]),
    ("network._target_", "stde_cli.config.build.os.system", ["is no"]),
    ("optimizer._target_", "subprocess.run", ["subprocess.run", "GradientTransformation"]),
    ("pde._target_", "stde_cli.MLP", ["stde_cli.MLP", "AbstractPDE"]),
    ("pde.solution._target_", "os.system", ["os.system", "AbstractSolution"]),
    ("estimator.sampler._target_", "os.system", ["estimator.sampler._target_=os.system"]),
    ("tracker._target_", "stde_cli.MLP", ["Tracker"]),
    ("pde.solution.hidden", {"_target_": "os.system", "command": "touch here"}, ["os.system"]),
    ("start._args_", [{"_target_": "os.system", "command": "touch here"}], ["_args_"]),
    ("network._target_", "mine.Net", ["names mine.Net", "--trust"]),
    ("estimator.sampler._target_", "mine.Sampler", ["names mine.Sampler", "--trust"]),
    ("schedule._target_", "numpy.load", ["names numpy.load", "--trust"]),
]


@pytest.mark.parametrize(("key", "value", "expected"), NAMED)
def test_a_foreign_run_runs_no_code_of_its_own(
    key: str,
    value: object,
    expected: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine.py").write_text("open('here', 'w')\nraise ImportError\n")
    config = deepcopy(base())
    with open_dict(config):
        OmegaConf.update(config, key, value, force_add=True)
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    run.config.write_text(OmegaConf.to_yaml(config, resolve=True))
    with pytest.raises(UsageError) as told:
        saved.load(run, tracked=True)
    for part in expected:
        assert part in str(told.value)
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize(
    "target",
    ["training.checkpoint.Checkpoints", "WandbTracker", "runs.points._CsvWriter", "load", "Run"],
)
def test_what_nothing_asks_for_may_be_a_module_and_nothing_that_acts(target: str) -> None:
    """Modules of ours are data: to make one opens no file and runs no process."""
    pde = OmegaConf.to_container(composed("pde=biharmonic", "dim=6").pde)
    assert isinstance(pde, dict)
    for name, stands in (("stde_cli.TwoBody", True), (f"stde_cli.{target}", False)):
        pde["parameters"] = {"c": {"_target_": name}}
        if stands:
            check_group("pde", pde, choice="biharmonic", trusted=False)
        else:
            with pytest.raises(UsageError, match=r"^pde\.parameters\.c\._target_=.*is no function"):
                check_group("pde", pde, choice="biharmonic", trusted=False)


def test_a_bomb_in_a_runs_configuration(tmp_path: Path) -> None:
    from tests.config.test_files import BOMB

    (tmp_path / "config.yaml").write_text(BOMB)
    with pytest.raises(UsageError, match=r"config\.yaml cannot be read \(line .* aliases expanded"):
        saved.load(RunDirectory(tmp_path))
