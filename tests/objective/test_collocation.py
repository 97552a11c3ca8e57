import jax
import numpy as np
import pytest

from stde_cli.estimators import Exact
from stde_cli.objective.collocation import ByResidual
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.pdes import Symbolic
from stde_cli.system.prng import make_key


def slope_is_zero() -> Symbolic:
    return Symbolic(1, coordinates={"x": [0, 1]}, residual="u_x", key=make_key(0))


def chosen(collocation, field, points, repeats=1):
    keys = jax.random.split(make_key(5), repeats)
    pde = slope_is_zero()
    residual = SampledResidual(pde, Exact())
    drawn = jax.jit(jax.vmap(lambda key: collocation(residual, field, points, key=key)))(keys)
    return np.asarray(drawn).reshape(repeats, points)


@pytest.mark.parametrize(
    ("options", "mean"),
    # R = x on [0, 1]: the mean of x under the density x^power / (mean x^power) + floor.
    [
        ({}, 7 / 12),
        ({"power": 2.0}, 5 / 8),
        ({"floor": 0.0}, 2 / 3),
        ({"power": 0.0}, 1 / 2),
    ],
    ids=str,
)
def test_points_follow_the_residual(options, mean) -> None:
    x = chosen(ByResidual(candidates=100, **options), lambda x: x[0] ** 2 / 2, 20, repeats=100)
    error = x.std() / np.sqrt(x.size)
    assert abs(x.mean() - mean) < 4 * error + 0.003  # of a hundred candidates the best run out


def test_points_are_candidates_without_repetition() -> None:
    def field(x):
        return x[0] ** 2

    x = chosen(ByResidual(candidates=3), field, 10)[0]
    assert len(set(x.tolist())) == 10
    everything = chosen(ByResidual(candidates=1), field, 10)[0]
    drawn = slope_is_zero().domain.sample_interior(
        10, key=jax.random.split(jax.random.split(make_key(5), 1)[0], 3)[0]
    )
    assert set(everything.tolist()) == set(np.asarray(drawn).ravel().tolist())


def test_without_any_residual_the_points_are_uniform() -> None:
    x = chosen(ByResidual(), lambda x: 0 * x[0], 200)[0]
    assert np.isfinite(x).all()
    assert abs(x.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 200)


@pytest.mark.parametrize("wrong", [{"candidates": 0}, {"power": -1.0}, {"floor": -1.0}], ids=str)
def test_refuses(wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ByResidual(**wrong)
