"""Every published method on every field, for every operator that it can represent."""

import sys

import jax
import numpy as np
import pytest

from stde_cli.autodiff.directions import Permutation
from stde_cli.estimators import (
    HTE,
    STDE,
    Exact,
    ForwardLaplacian,
    NestedBackward,
    SDGDBackwardScan,
    SDGDBackwardVmap,
    SDGDForwardOverBackward,
    Unrestricted,
    mean_and_standard_error,
)
from stde_cli.problem.operators import Combination, GradientNorm, Laplacian, Partial, SumOfPartials
from stde_cli.system.errors import UsageError
from stde_cli.system.prng import make_key
from tests.helpers import point_inside, random_ansatz

DIM, SOME = 6, 3
NETWORKS = ("mlp", "additive_mlp")
FIRST = Combination((2.0, -1.0), (Partial((2,)), Partial((0,))))
OPERATORS = {"all": Laplacian(), "some": Laplacian((1, 5)), "first": FIRST}


def of_coordinates(batch):
    """Methods that read sampled coordinates: the first on whole fields, as the others do."""
    return [
        NestedBackward(Permutation(), batch),
        SDGDBackwardScan(batch),
        SDGDBackwardVmap(batch),
        SDGDForwardOverBackward(batch),
        Unrestricted(batch),
    ]


EXACT = [*of_coordinates(DIM), STDE(Permutation(), DIM), ForwardLaplacian()]


def readings(methods, field, x, operators=OPERATORS):
    """u and the operators by each method, whose draws come from one key."""
    draws = [method.draw(operators, DIM, key=make_key(3)) for method in methods]
    pairs = zip(methods, draws, strict=True)
    return [method(field, operators, x, drawn) for method, drawn in pairs]


@pytest.mark.parametrize("network", NETWORKS)
def test_methods_agree(float64, network):
    """With `exact` where nothing is left out; with each other at the same draws."""
    field, x = random_ansatz(DIM, network, depth=2, degree=2), point_inside(DIM)

    @jax.jit
    def found(x):
        return readings([Exact(), *EXACT], field, x), readings(of_coordinates(SOME), field, x)

    for results in found(x):
        (u, expected), *others = results
        for value, operators in others:
            np.testing.assert_allclose(value, u, rtol=1e-12)
            for name, truth in expected.items():
                np.testing.assert_allclose(operators[name], truth, rtol=1e-10, err_msg=name)
    everywhere, some = found(x)
    assert abs(everywhere[0][1]["all"] - some[0][1]["all"]) > 1e-3


@pytest.mark.parametrize("operator", [Laplacian(), Laplacian((1, 5))], ids=str)
def test_hutchinson_is_unbiased(float64, operator):
    field, x = random_ansatz(DIM), point_inside(DIM)

    @jax.jit
    def found(x):
        key = make_key(7)
        estimate = mean_and_standard_error(HTE(2), field, operator, x, draws=2000, key=key)
        return estimate, operator.exact(field, x)

    (mean, error), truth = found(x)
    assert 0 < error < 0.1 * abs(truth)
    assert abs(mean - truth) < 4 * error


@pytest.mark.parametrize(
    "operator",
    [Partial((0, 0)), SumOfPartials((4,)), GradientNorm()],
    ids=lambda o: type(o).__name__,
)
@pytest.mark.parametrize(
    "method", [*of_coordinates(2)[1:], HTE(2), ForwardLaplacian()], ids=lambda m: type(m).__name__
)
def test_an_operator_that_cannot_be_represented(method, operator):
    kind = type(operator).__name__
    with pytest.raises(ValueError, match=f"no estimate of wanted: {kind} is no Laplacian"):
        method.draw({"laplacian": Laplacian(), "wanted": operator}, DIM, key=make_key(0))


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "folx", None)
    with pytest.raises(UsageError, match=r"pip install 'stde\[baselines\]'"):
        ForwardLaplacian()
