import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.autodiff.directions import (
    Dense,
    Permutation,
    Stratified,
    WithoutReplacement,
    WithReplacement,
)
from stde_cli.estimators import (
    STDE,
    Exact,
    NestedBackward,
    Unrestricted,
    mean_and_standard_error,
)
from stde_cli.problem.operators import Laplacian, Partial, SumOfPartials
from stde_cli.system.prng import make_key
from tests.helpers import all_draws, laplacian, point_inside, random_ansatz

NETWORKS = {"mlp": {}, "weight_sharing": {"block_size": 3}}
SMALL = 6
# Sampler, directions a draw, and how many equally probable outcomes that makes.
ENUMERATIONS = [
    (STDE(Stratified(), 3), 3, 8),
    (STDE(Stratified(), 4), 4, 4),
    (STDE(WithReplacement(), 2), 2, 36),
    (STDE(WithoutReplacement(), 3), 3, 20),
    (STDE(Permutation(), 2), 2, 15),
    (STDE(Dense("rademacher"), 1), 1, 64),
    (Unrestricted(2), 2, 15),
]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("estimator", "batch", "outcomes"), ENUMERATIONS, ids=str)
def test_the_mean_over_every_draw_is_exact(float64, estimator, batch, outcomes, network):
    field, x = random_ansatz(SMALL, network, **NETWORKS[network]), point_inside(SMALL)
    sampler = estimator.sampler if isinstance(estimator, STDE) else Permutation()
    stacked = all_draws(sampler, SMALL, batch, outcomes=outcomes)

    def one(directions):
        return estimator(field, {"value": Laplacian()}, x, {"value": directions})[1]["value"]

    estimates, truth = jax.jit(lambda x: (jax.vmap(one)(stacked), laplacian(field, x)))(x)
    assert np.std(estimates) > 1e-3  # The draws differ: their mean says something.
    np.testing.assert_allclose(jnp.mean(estimates), truth, rtol=1e-10)


LARGE = 45


@pytest.mark.parametrize(
    ("estimator", "network"),
    [
        (STDE(Stratified(), 8), "mlp"),
        (STDE(Stratified(), 8), "weight_sharing"),
        (STDE(WithReplacement(), 8), "weight_sharing"),
        (STDE(WithoutReplacement(), 8), "mlp"),
        (STDE(Permutation(), 8), "mlp"),
        (STDE(Dense("rademacher"), 8), "mlp"),
        (STDE(Dense("gaussian"), 8), "mlp"),
        (STDE(Dense("gaussian"), 8), "weight_sharing"),
        (Unrestricted(8), "mlp"),
    ],
    ids=str,
)
def test_the_mean_of_many_draws_is_within_its_error(float64, estimator, network):
    field, x = random_ansatz(LARGE, network, **NETWORKS[network]), point_inside(LARGE)

    def both(x):
        key = make_key(7)
        mean = mean_and_standard_error(estimator, field, Laplacian(), x, draws=2000, key=key)
        return mean, laplacian(field, x)

    (mean, error), truth = jax.jit(both)(x)
    assert 0 < error < 0.1 * abs(truth)
    assert abs(mean - truth) < 4 * error


@pytest.mark.parametrize("sampler", [Stratified(), WithoutReplacement(), Permutation()], ids=str)
def test_sampling_every_coordinate_leaves_no_error(float64, sampler):
    field, x = random_ansatz(LARGE), point_inside(LARGE)
    estimator, operators = STDE(sampler, LARGE), {"value": Laplacian()}

    def both(x):
        drawn = estimator.draw(operators, LARGE, key=make_key(8))
        value, derivatives = estimator(field, operators, x, drawn)
        return (value, derivatives["value"]), (field(x), laplacian(field, x))

    ours, theirs = jax.jit(both)(x)
    np.testing.assert_allclose(ours, theirs, rtol=1e-11)


@pytest.mark.parametrize("batch", [1, 5])
def test_the_standard_error_is_that_of_the_known_variance(float64, batch):
    """u = sum a_i x_i^2 / 2: a draw J gives dim mean a_J, of variance dim^2 var(a) / batch."""
    dim, draws = 20, 20_000
    a = jax.random.normal(make_key(9), (dim,))
    estimator = STDE(WithReplacement(), batch)

    def field(x):
        return a @ x**2 / 2

    mean, error = jax.jit(
        lambda x: mean_and_standard_error(
            estimator, field, Laplacian(), x, draws=draws, key=make_key(10)
        )
    )(point_inside(dim))
    known = math.sqrt(dim**2 * float(jnp.var(a)) / batch / draws)
    assert float(error) == pytest.approx(known, rel=0.03)
    assert abs(mean - jnp.sum(a)) < 4 * known


# 256 coordinates are pushed at once: below, at, just above and well above that, and a multiple.
@pytest.mark.parametrize(
    ("dim", "network", "options"),
    [
        (2, "mlp", {}),
        (6, "weight_sharing", {"block_size": 3}),
        (256, "mlp", {}),
        (257, "mlp", {}),
        (300, "mlp", {}),
        (300, "weight_sharing", {"block_size": 4}),
        (512, "mlp", {}),
    ],
    ids=str,
)
def test_exact_is_exact(float64, dim, network, options):
    field, x = random_ansatz(dim, network, width=4, **options), point_inside(dim)
    estimator, operators = Exact(), {"a": Laplacian(), "b": Laplacian()}

    def both(x):
        drawn = estimator.draw(operators, dim, key=make_key(0))
        return estimator(field, operators, x, drawn), (field(x), laplacian(field, x))

    (value, derivatives), (u, truth) = jax.jit(both)(x)
    np.testing.assert_allclose(value, u, rtol=1e-13)
    np.testing.assert_allclose(derivatives["a"], truth, rtol=1e-10)
    assert derivatives["b"] == derivatives["a"]


def test_exact_in_chunks_has_the_right_gradient(float64):
    dim = 300
    field, x = random_ansatz(dim, width=4), point_inside(dim)
    parameters, static = eqx.partition(field, eqx.is_inexact_array)

    def ours(parameters):
        field = eqx.combine(parameters, static)
        return Exact()(field, {"value": Laplacian()}, x, None)[1]["value"]

    def theirs(parameters):
        return laplacian(eqx.combine(parameters, static), x)

    gradients, expected = jax.jit(lambda p: (jax.grad(ours)(p), jax.grad(theirs)(p)))(parameters)
    for a, b in zip(jax.tree.leaves(gradients), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)


PARTIALS = [(0,), (5,), (1, 1), (0, 2), (2, 0), (3, 0, 3), (0, 1, 2), (4, 4, 4), (2, 2, 5, 2)]


@pytest.mark.parametrize("network", NETWORKS)
def test_partials(float64, network):
    field, x = random_ansatz(SMALL, network, **NETWORKS[network]), point_inside(SMALL)
    operators = {str(coordinates): Partial(coordinates) for coordinates in PARTIALS}

    def both(x):
        ours = Exact()(field, operators, x, None)[1]
        return ours, {name: operator.exact(field, x) for name, operator in operators.items()}

    ours, theirs = jax.jit(both)(x)
    for name in operators:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-11, err_msg=name)


def test_the_laplacian_is_the_sum_of_its_partials(float64):
    field, x = random_ansatz(SMALL), point_inside(SMALL)

    def both(x):
        partials = [Partial((i, i)).exact(field, x) for i in range(SMALL)]
        return Laplacian().exact(field, x), sum(partials)

    np.testing.assert_allclose(*jax.jit(both)(x), rtol=1e-12)


RADEMACHER, GAUSSIAN = Dense("rademacher"), Dense("gaussian")


@pytest.mark.parametrize(
    ("estimator", "operator", "message"),
    [
        (Unrestricted(2), Partial((0, 0)), "no estimate of wanted: Partial is no Laplacian"),
        (STDE(RADEMACHER, 2), SumOfPartials((4,)), "dense .* d.4.* sampler of coord"),
        (NestedBackward(GAUSSIAN, 2), SumOfPartials((1,)), "dense .* first .* sampler of coord"),
    ],
    ids=str,
)
def test_an_operator_out_of_reach_is_an_error(estimator, operator, message):
    operators = {"laplacian": Laplacian(), "wanted": operator}
    with pytest.raises(ValueError, match=message):
        estimator.draw(operators, 4, key=make_key(0))


@pytest.mark.parametrize(
    ("network", "activation"),
    [
        *(("mlp", activation) for activation in ("tanh", "sin", "gelu", "silu", "softplus")),
        ("weight_sharing", "tanh"),
    ],
)
def test_unrestricted_and_stde_agree_on_the_same_directions(float64, network, activation):
    options = {**NETWORKS[network], "activation": activation}
    field, x = random_ansatz(SMALL, network, **options), point_inside(SMALL)
    published, ours = Unrestricted(3), STDE(WithoutReplacement(), 3)
    operators = {"value": Laplacian()}
    drawn = published.draw(operators, SMALL, key=make_key(3))
    results = jax.jit(
        lambda x: [
            published(field, operators, x, drawn),
            ours(field, operators, x, drawn),
        ]
    )(x)
    (first, first_derivatives), (second, second_derivatives) = results
    np.testing.assert_allclose(first, second, rtol=1e-13)
    np.testing.assert_allclose(first_derivatives["value"], second_derivatives["value"], rtol=1e-10)
