from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.ansatz.hard_constraint import HardConstraint
from stde_cli.ansatz.networks import MLP, AdditiveMLP, WeightSharing
from stde_cli.problem.constraints import VanishOnSphere
from stde_cli.system.prng import make_key
from stde_cli.training.state import parameter_count
from tests.helpers import point_inside, random_network

# [STDE] table 10: (dim, block size): trainable numbers of the network of width 128, depth 4.
TABLE_10 = {
    (1_000_000, 1): 128_033_281,
    (1_000_000, 10): 12_833_292,
    (1_000_000, 50): 2_593_332,
    (1_000_000, 100): 1_313_382,
    (1_000_000, 500): 289_782,
    (1_000_000, 1000): 162_282,
    (5_000_000, 1): 640_033_281,
    (5_000_000, 10): 64_033_292,
    (5_000_000, 50): 12_833_332,
    (5_000_000, 100): 6_433_382,
    (5_000_000, 500): 1_313_782,
    (5_000_000, 1000): 674_282,
}


def abstract(make):
    """The network's shapes; nothing is allocated."""
    return eqx.filter_eval_shape(make, make_key(0))


@pytest.mark.parametrize(("dim", "block_size"), TABLE_10, ids=str)
def test_parameter_counts_are_those_published(dim, block_size):
    def make(key):
        if block_size == 1:
            return MLP(dim, key=key)
        return WeightSharing(dim, block_size=block_size, key=key)

    network = abstract(make)
    assert parameter_count(network) == TABLE_10[dim, block_size]
    # The hard constraint brings no parameters of its own.
    assert parameter_count(HardConstraint(network, VanishOnSphere(1.0))) == parameter_count(network)


@pytest.mark.parametrize("depth", [2, 3, 4, 7])
@pytest.mark.parametrize("width", [1, 16])
def test_depth_counts_affine_maps(depth, width):
    network = abstract(lambda key: MLP(10, width=width, depth=depth, key=key))
    weights = [leaf.shape for leaf in jax.tree.leaves(network) if leaf.ndim == 2]
    assert weights == [(width, 10), *[(width, width)] * (depth - 2), (1, width)]
    count = 11 * width + (depth - 2) * (width + 1) * width + width + 1
    assert parameter_count(network) == count
    assert eqx.filter_eval_shape(lambda u, x: u(x), network, jnp.zeros(10)).shape == ()


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("tanh", np.tanh),
        ("sin", np.sin),
        ("gelu", jax.nn.gelu),
        ("silu", lambda z: z / (1 + np.exp(-z))),
        ("softplus", lambda z: np.log1p(np.exp(z))),
    ],
)
def test_a_network_is_what_it_says(float64, activation, function):
    network, x = random_network(6, activation=activation), point_inside(6)
    z = network.first.weight @ x + network.first.bias
    for layer in network.hidden:
        z = layer.weight @ function(z) + layer.bias
    expected = network.last.weight @ function(z) + network.last.bias
    np.testing.assert_allclose(network(x), expected[0], rtol=1e-13)


@pytest.mark.parametrize("block_size", [1, 2, 3, 6])
def test_weight_sharing_is_a_convolution_before_an_mlp(float64, block_size):
    network = random_network(6, "weight_sharing", block_size=block_size)
    x = point_inside(6)
    blocks = np.array(
        [
            sum(network.window[b] * x[m * block_size + b] for b in range(block_size)) + network.bias
            for m in range(6 // block_size)
        ]
    )
    np.testing.assert_allclose(network(x), network.mlp(jnp.asarray(blocks)), rtol=1e-13)


def test_an_additive_network_is_an_mlp_and_a_readout_of_windows(float64):
    network, x = random_network(6, "additive_mlp", window=3, degree=2), point_inside(6)
    readout, y = 10 / np.sqrt(6) * network.polynomials.readout, [*x, 0.0, 0.0]
    expected = network.mlp(x) + sum(
        sum(c * monomial for c, monomial in zip(column, monomials, strict=True))
        for m, column in enumerate(readout.T)
        for a, b, c in [y[m : m + 3]]
        for monomials in [(a, a * a, a * b, a * c)]
    )
    np.testing.assert_allclose(network(x), expected, rtol=1e-12)


def test_an_additive_network_starts_at_zero():
    network = AdditiveMLP(8, width=4, key=make_key(0))
    assert jax.jit(lambda x: network(x))(point_inside(8)) == 0
    slopes = jax.jit(jax.grad(lambda network, x: network(x)))(network, point_inside(8))
    assert slopes.mlp.last.weight.any()
    # Of a window's terms those of its last member alone, which have no coordinate after it, vanish.
    assert slopes.polynomials.readout[:, :-1].all()
    with pytest.raises(ValueError, match="a window of 0 coordinates is empty"):
        AdditiveMLP(8, window=0, key=make_key(0))


@pytest.mark.parametrize("block_size", [4, 7, 11])
def test_a_block_size_that_does_not_divide_is_an_error(block_size):
    with pytest.raises(ValueError, match=f"block_size {block_size} does not divide dim 10"):
        WeightSharing(10, block_size=block_size, key=make_key(0))


@pytest.mark.parametrize("block_size", [None, 10])
@pytest.mark.parametrize("dim", [10, 1000])
def test_first_values_are_of_the_scale_of_the_points(dim, block_size):
    """LeCun weights: entries of size one give first values of about that size, at every dim."""

    def make(key) -> Any:
        if block_size is None:
            return MLP(dim, key=key)
        return WeightSharing(dim, block_size=block_size, key=key)

    x = np.sqrt(dim) * np.stack([point_inside(dim, seed=s, length=1.0) for s in range(20)])
    networks = jax.vmap(make)(jax.random.split(make_key(1), 20))
    values = eqx.filter_vmap(lambda network: jax.vmap(network)(x))(networks)
    assert 0.2 < np.sqrt(np.mean(np.square(values))) < 1.5
    mlp = networks if block_size is None else networks.mlp
    slopes = mlp.first.weight
    assert float(slopes.var()) * slopes.shape[-1] == pytest.approx(1, rel=0.05)
    for layer in (mlp.first, *mlp.hidden, mlp.last):
        assert (layer.bias == 0).all()


def test_the_key_alone_decides_the_parameters():
    first, again, other = (MLP(5, width=4, key=make_key(seed)) for seed in (1, 1, 2))
    assert eqx.tree_equal(first, again)
    assert not eqx.tree_equal(first, other)
    assert not (first.hidden[0].weight == first.hidden[1].weight).any()
