"""The published step in PyTorch against our own parts; most of it where PyTorch is installed."""

import sys
from importlib import import_module
from importlib.util import find_spec

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.ansatz.hard_constraint import HardConstraint
from stde_cli.autodiff.directions import Permutation
from stde_cli.config.build import build
from stde_cli.estimators import SDGDBackwardVmap
from stde_cli.jobs.benchmarks.pytorch import Training
from stde_cli.jobs.benchmarks.speed import measure
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.system.errors import UsageError
from stde_cli.training.state import is_array
from tests.config.test_build import composed

SMALL = ("dim=7", "network.width=5", "train.points=3", "estimator.batch=4")
with_pytorch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")


def configured(*overrides):
    return composed("estimator=sdgd_backward_pytorch", *SMALL, *overrides)


@with_pytorch
@pytest.mark.parametrize("solution", ["two_body", "three_body"])
@pytest.mark.parametrize("pde", ["allen_cahn", "poisson", "sine_gordon"])
def test_its_residual_is_ours(float64, pde, solution):
    """With the same weights, points and coordinates."""
    overrides = [f"pde={pde}", f"pde/solution={solution}", "runtime.precision=float64"]
    training, torch = Training(configured(*overrides)), import_module("torch")
    built = build(composed("estimator=sdgd_backward_vmap", *SMALL, *overrides))
    equation = built.problem.pde
    # Its weights in our network.
    theirs = [p.detach().numpy() for p in training.network.parameters()]
    shapes = eqx.filter_eval_shape(built.initialise).ansatz.network
    arrays, static = eqx.partition(shapes, is_array)
    leaves, structure = jax.tree.flatten(arrays)
    filled = [jnp.asarray(a).reshape(b.shape) for a, b in zip(theirs, leaves, strict=True)]
    network = eqx.combine(jax.tree.unflatten(structure, filled), static)
    field = HardConstraint(network, equation.constraint)
    residual = SampledResidual(equation, SDGDBackwardVmap(4))
    drawn = residual.draw(key=built.keys.training)
    x = training.draw_points()
    expected = jax.jit(lambda x: residual.at(field, x, drawn))(jnp.asarray(x.numpy()))
    indices = torch.tensor(np.array(drawn["laplacian"].indices))
    found = training.residual(x, indices).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert isinstance(SDGDBackwardVmap.sampler, Permutation)


@with_pytorch
def test_it_trains_and_its_rate_falls():
    training = Training(configured("steps=4"))
    before = [p.detach().clone() for p in training.network.parameters()]
    assert training.take(2) > 0
    assert training.optimizer.param_groups[0]["lr"] == pytest.approx(0.5e-3)
    after = training.network.parameters()
    assert all(bool((a != b).any()) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("network=additive_mlp", "network=mlp"),
        ("loss=gradient_enhanced", "loss=residual"),
        ("optimizer=lion", "optimizer=adam"),
    ],
)
@with_pytorch
def test_what_it_has_not_is_refused(override, message):
    with pytest.raises(UsageError, match=message):
        Training(configured(override))


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match=r"pip install 'stde\[torch\]'"):
        next(measure(configured()))
