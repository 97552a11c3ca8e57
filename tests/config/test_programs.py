"""What is compiled for a run serves those of other seeds, learning rates and numbers of steps."""

from unittest import mock

import jax
import pytest

from stde_cli.config.build import abstract_state, build
from stde_cli.training import Executable, Initialisation
from tests.config.test_build import composed

SMALL = ("network.width=8", "network.depth=2", "estimator.batch=2", "train.points=5")


def programs(*overrides: str) -> list[str]:
    """The text of the programs of start and step; nothing is compiled."""
    found: list[str] = []

    def compiled(lowered: jax.stages.Lowered, **_: object) -> mock.MagicMock:
        found.append(lowered.as_text())
        return mock.MagicMock()

    config = composed("steps=20", *SMALL, *overrides)
    built, shapes = build(config), abstract_state(config)
    with mock.patch.object(jax.stages.Lowered, "compile", compiled):
        Initialisation(built.initialise)
        Executable(built.problem, shapes)
    return found


@pytest.mark.parametrize(
    "overrides",
    [
        ["schedule=linear", "train.gradient_clip=1.0", "loss=gradient_enhanced"],
        ["schedule=cosine", "pde=biharmonic", "collocation=by_residual"],
        ["schedule=exponential", "pde=wave", "weighting=gradient_norm"],
        ["schedule=piecewise", "start=least_squares", "start.degree=2"],
        ["schedule=constant", "optimizer=muon"],
        ["optimizer=lbfgs"],
        ["optimizer=gauss_newton"],
    ],
    ids=" ".join,
)
def test_programs_hold_no_number_that_a_sweep_varies(overrides: list[str]) -> None:
    without_rate = {"optimizer=lbfgs", "optimizer=gauss_newton"} & set(overrides)
    rate = [] if without_rate else ["optimizer.learning_rate=3e-4"]
    once, again = programs(*overrides), programs(*overrides, "seed=7", "steps=31", *rate)
    assert len(once) == 2
    for one, another in zip(once, again, strict=True):
        assert one == another
