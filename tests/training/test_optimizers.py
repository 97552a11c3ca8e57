"""Optimizers that want more than a gradient, and what a run carries for the groups of training."""

import equinox as eqx
import jax
import numpy as np
import pytest

from stde_cli.config.build import abstract_state, build
from stde_cli.system.errors import UsageError
from stde_cli.training import Executable
from stde_cli.training.checkpoint import Checkpoints
from tests.config.test_build import composed

SMALL = ("network.width=8", "network.depth=3", "train.points=20", "steps=20")
CONDITIONED = ("pde=cahn_hilliard", "pde.residual='u_t - u_xx - f'")
"""With a condition to weigh, and of an order that is compiled in a moment."""
POISSON = (*SMALL, "pde=poisson", "dim=4", "estimator=exact")


def made(*overrides):
    config = composed(*overrides)
    built = build(config)
    executable = Executable(built.problem, abstract_state(config))
    return built, executable, eqx.filter_jit(built.initialise)()


def arrays(state):
    return jax.tree.leaves(eqx.filter(state.ansatz.network, eqx.is_array))


def test_a_line_search_sees_the_points_of_its_step() -> None:
    """On points that stay the loss falls at every step, which a search elsewhere would not give."""
    built, executable, state = made(*POISSON, "optimizer=lbfgs", "train.redraw_every=20")
    assert built.problem.schedule(7) == 1
    losses = np.asarray(executable(state, 20)[1])[:20]
    assert (np.diff(losses) < 0).all()
    assert losses[-1] < 0.05 * losses[0]


def test_draws_are_shared_by_as_many_steps_as_asked() -> None:
    fixed = ("optimizer=sgd", "optimizer.learning_rate=1e-30")
    _, executable, state = made(*POISSON, *fixed, "train.redraw_every=3")
    losses = np.asarray(executable(state, 9)[1])[:9].reshape(3, 3)
    assert (losses == losses[:, :1]).all()
    assert len(set(losses[:, 0].tolist())) == 3


def test_muon_takes_matrices_and_adam_vectors() -> None:
    """The first step of Adam has one size throughout, that of Muon has not."""
    _, executable, state = made(*POISSON, "optimizer=muon", "schedule=constant")
    # Copied: the state's buffers are given up.
    before = jax.tree.map(np.array, arrays(state))
    steps = [new - old for new, old in zip(arrays(executable(state, 1)[0]), before, strict=True)]
    assert {step.ndim for step in steps} == {1, 2}
    for step in steps:
        sizes = np.abs(step)
        assert (sizes.max() < 1.1 * sizes.min()) == (step.ndim == 1), step.shape


@pytest.mark.parametrize(
    "choice",
    [
        (
            "weighting=gradient_norm",
            "weighting.every=2",
            "collocation=by_residual",
            "optimizer=muon",
            "train.gradient_clip=1.0",
        ),
        ("optimizer=lbfgs", "train.redraw_every=4", "train.gradient_clip=1.0"),
        ("optimizer=gauss_newton", "weighting=gradient_norm", "weighting.every=2"),
    ],
    ids=" ".join,
)
def test_a_run_resumed_from_a_checkpoint_is_the_run(choice, tmp_path) -> None:
    """Bit for bit, what the options keep from step to step included."""
    built, executable, state = made(*SMALL, "network.depth=2", *CONDITIONED, *choice)
    half, first = executable(state, 5)
    (tmp_path / "checkpoints").mkdir()
    checkpoints = Checkpoints(tmp_path / "checkpoints", 1)
    checkpoints.save(half)
    restored = checkpoints.restore(half)
    checkpoints.close()
    parts, second = executable(restored, 6)
    whole, losses = executable(eqx.filter_jit(built.initialise)(), 11)
    assert eqx.tree_equal(parts, whole)
    assert np.isfinite(losses).all()
    assert [*first[:5], *second[:6]] == [*losses[:11]]


@pytest.mark.parametrize(
    ("typed", "where"),
    [
        ("optimizer.learning_rate=null", "optimizer.learning_rate"),
        ("train.redraw_every=0", "train.redraw_every"),
        ("optimizer=gauss_newton loss=residual_unbiased", "loss"),
        ("optimizer=gauss_newton train.gradient_clip=1", "train.gradient_clip"),
        ("optimizer=gauss_newton optimizer.form=dense", "optimizer.form"),
        ("optimizer=gauss_newton optimizer.damping=0", "optimizer.damping"),
        ("collocation=by_residual collocation.candidates=0", "collocation.candidates"),
        ("collocation=by_residual collocation.floor=-1", "collocation.floor"),
        ("weighting=gradient_norm weighting.every=2.5", "weighting.every"),
        ("weighting=gradient_norm weighting.decay=1", "weighting.decay"),
    ],
)
def test_refuses(typed: str, where: str) -> None:
    with pytest.raises(UsageError) as refusal:
        build(composed(*SMALL, "dim=20", *typed.split()))
    assert refusal.value.where == where
