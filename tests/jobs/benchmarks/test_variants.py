"""A method may bring a recipe of its own; the user's overrides apply wherever they fit."""

from collections.abc import Iterator

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from stde_cli.config.composition import config_directory
from stde_cli.config.schema import register
from stde_cli.config.variants import variant_of
from stde_cli.system.errors import UsageError


@pytest.fixture(autouse=True)
def hydra() -> Iterator[None]:
    register()
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        yield


def variant(changes: list[str], *overrides: str) -> DictConfig:
    config = compose("bench", overrides=[*overrides, f"+bench.variants.own={changes}"])
    return variant_of(config, list(overrides), "own")


def test_an_experiment_and_steps_of_its_own() -> None:
    own = variant(["+experiment=polynomials", "steps=7"], "steps=500", "dim=30")
    assert (own.steps, own.dim) == (7, 30)
    assert own.choices.loss == "gradient_enhanced"
    assert "GradientEnhanced" in own.loss._target_


def test_its_experiment_comes_after_the_users() -> None:
    own = variant(["+experiment=polynomials"], "+experiment=quickstart")
    assert (own.dim, own.choices.pde) == (10, "poisson")
    assert (own.choices.loss, own.choices.schedule) == ("gradient_enhanced", "linear")


def test_groups_of_its_own_leave_the_users_keys_of_them_out() -> None:
    user = ("network=weight_sharing", "network.block_size=5", "estimator.batch=4")
    own = variant(["network=mlp", "estimator=stde_unrestricted", "start=network"], *user)
    assert own.choices.network == "mlp"
    assert own.choices.start == "network"
    assert own.estimator.batch == 4
    assert variant(["estimator=stde", "estimator.batch=2"], *user).estimator.batch == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("loss=residul", "did you mean residual"),
        ("setps=3", "did you mean steps"),
        ("loss=3", "a string"),
    ],
)
def test_what_does_not_fit_is_refused(change: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        variant([change])
