import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.autodiff.directions import (
    Dense,
    DenseDirections,
    Importance,
    Permutation,
    Stratified,
    WithoutReplacement,
    WithReplacement,
    all_coordinates,
)
from stde_cli.system.prng import make_key
from tests.helpers import coordinate_directions, dense_matrix, jaxpr_shapes, tree_allclose

DRAWS = 20_000


def strata(dim, batch):
    """Strata of consecutive coordinates whose sizes differ by at most one."""
    edges = [k * dim // batch for k in range(batch + 1)]
    return [range(a, b) for a, b in itertools.pairwise(edges)]


def stratified_support(dim, batch):
    return set(itertools.product(*strata(dim, batch)))


def with_replacement_support(dim, batch):
    return set(itertools.product(range(dim), repeat=batch))


def subset_support(dim, batch):
    return set(itertools.combinations(range(dim), batch))


# Each sampler with the set of its outcomes, all of the same probability.
COORDINATE_SAMPLERS = [
    (Stratified(), stratified_support),
    (WithReplacement(), with_replacement_support),
    (WithoutReplacement(), subset_support),
    (Permutation(), subset_support),
]
SIZES = [(6, 3), (5, 2), (7, 3), (4, 1), (3, 3)]


@pytest.mark.parametrize(("dim", "batch"), SIZES)
@pytest.mark.parametrize(
    ("sampler", "support"), COORDINATE_SAMPLERS, ids=lambda v: type(v).__name__
)
def test_coordinate_samplers_draw_their_whole_support_evenly(sampler, support, dim, batch):
    keys = jax.random.split(make_key(11), DRAWS)
    drawn = jax.jit(jax.vmap(lambda key: sampler(dim, batch, key=key)))(keys)
    indices, weights = np.asarray(drawn.indices), np.asarray(drawn.weights, np.float64)
    if support is subset_support:
        # A set has no order; the weights are all alike.
        assert (weights == weights[0, 0]).all()
        indices = np.sort(indices, axis=1)
    assert (np.asarray(drawn.lengths) == 1).all()

    outcomes, first, counts = np.unique(indices, axis=0, return_index=True, return_counts=True)
    expected = support(dim, batch)
    assert {tuple(map(int, outcome)) for outcome in outcomes} == expected

    probability = 1 / len(expected)
    sigma = math.sqrt(DRAWS * probability * (1 - probability))
    assert np.abs(counts - DRAWS * probability).max() <= 4.5 * sigma

    second_moment = np.zeros((dim, dim))
    for outcome, where in zip(outcomes, first, strict=True):
        np.add.at(second_moment, (outcome, outcome), probability * weights[where])
    np.testing.assert_allclose(second_moment, np.eye(dim), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("dim", "batch"), [(3, 1), (2, 2), (3, 2)])
def test_rademacher_draws_every_sign_vector_evenly(dim, batch):
    keys = jax.random.split(make_key(12), DRAWS)
    drawn = jax.vmap(lambda key: Dense("rademacher")(dim, batch, key=key))(keys)
    outcomes, counts = np.unique(drawn.vectors, axis=0, return_counts=True)
    expected = set(itertools.product((-1.0, 1.0), repeat=dim * batch))
    assert {tuple(map(float, outcome.ravel())) for outcome in outcomes} == expected

    probability = 1 / len(expected)
    sigma = math.sqrt(DRAWS * probability * (1 - probability))
    assert np.abs(counts - DRAWS * probability).max() <= 4.5 * sigma
    weights = np.asarray(drawn.weights[0])
    second_moment = probability * np.einsum("nki,nkj,k->ij", outcomes, outcomes, weights)
    np.testing.assert_allclose(second_moment, np.eye(dim), atol=1e-6)


def test_gaussian_moments():
    dim, batch = 4, 3
    keys = jax.random.split(make_key(13), DRAWS)
    drawn = jax.vmap(lambda key: Dense("gaussian")(dim, batch, key=key))(keys)
    vectors = np.asarray(drawn.vectors, np.float64)
    weighted = np.einsum("nki,nkj,nk->nij", vectors, vectors, drawn.weights)
    for sample, expected in (
        (weighted, np.eye(dim)),
        (vectors, np.zeros((batch, dim))),
        (vectors**4, np.full((batch, dim), 3.0)),
    ):
        error = sample.std(axis=0, ddof=1) / math.sqrt(DRAWS)
        assert (np.abs(sample.mean(axis=0) - expected) < 4 * error).all()


# Sizes that differ by far: in strata of equal tickets the first coordinate fills more than one.
MAGNITUDES = np.array([5.0, 0.0, 1e-3, 2.0, 1.0, 0.5])


@pytest.mark.parametrize("batch", [1, 2, 3, 5])
def test_importance_draws_in_proportion_and_weighs_by_the_inverse(batch):
    keys = jax.random.split(make_key(20), DRAWS)
    sizes = jnp.array(MAGNITUDES)
    drawn = jax.jit(
        jax.vmap(lambda key: Importance()(MAGNITUDES.size, batch, sizes=sizes, key=key))
    )(keys)
    ends = np.cumsum(MAGNITUDES) / MAGNITUDES.sum()
    for k in range(batch):
        # The part of coordinate i within the stratum from k/batch to (k + 1)/batch.
        upper = np.clip(ends, k / batch, (k + 1) / batch)
        probabilities = np.diff(upper, prepend=k / batch) * batch
        counts = np.bincount(drawn.indices[:, k], minlength=MAGNITUDES.size)
        sigma = np.sqrt(DRAWS * probabilities * np.maximum(0, 1 - probabilities))
        assert (np.abs(counts - DRAWS * probabilities) <= 4.5 * sigma + 1).all()
    # Expected copies of coordinate i are batch p_i; its weight is the inverse of that.
    expected = MAGNITUDES.sum() / (batch * MAGNITUDES[drawn.indices])
    np.testing.assert_allclose(drawn.weights, expected, rtol=1e-5)
    assert not drawn.distinct


def test_importance_in_double_precision_weighs_in_it(float64):
    drawn = Importance()(6, 4, sizes=jnp.array(MAGNITUDES), key=make_key(21))
    assert drawn.weights.dtype == jnp.float64


def test_importance_never_draws_a_term_of_size_zero_and_always_may_draw_a_small_one():
    """A coordinate of 1e-12 of the sum has a ticket; its weight is the inverse of that ticket."""
    sizes = jnp.array([1.0, 0.0, 1e-12, 0.0])
    keys = jax.random.split(make_key(22), 1000)
    drawn = jax.vmap(lambda key: Importance()(4, 2, sizes=sizes, key=key))(keys)
    assert set(np.unique(drawn.indices)) <= {0, 2}
    assert np.isfinite(drawn.weights).all()


def test_importance_without_sizes_is_stratified():
    draws = [sampler(50, 8, key=make_key(1)) for sampler in (Importance(), Stratified())]
    assert tree_allclose(draws[0], draws[1], rtol=0)


@pytest.mark.parametrize("dim", [100, 10**6])
def test_importance_with_equal_sizes_weighs_all_alike(dim):
    drawn = Importance()(dim, 16, sizes=jnp.full(dim, 3.0), key=make_key(23))
    assert ((drawn.indices >= 0) & (drawn.indices < dim)).all()
    # Tickets are whole: at a million coordinates each has 536.9 of them, rounded up.
    np.testing.assert_allclose(drawn.weights, dim / 16, rtol=2e-3)


SAMPLERS = [
    *(s for s, _ in COORDINATE_SAMPLERS),
    Importance(),
    Dense("rademacher"),
    Dense("gaussian"),
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_only_importance_looks_at_the_sizes(sampler):
    sizes = jnp.arange(1.0, 51.0)
    plain, weighed = sampler(50, 8, key=make_key(1)), sampler(50, 8, sizes=sizes, key=make_key(1))
    assert tree_allclose(plain, weighed, rtol=0) == (sampler != Importance())


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_the_key_alone_decides_the_draw(sampler):
    draws = [sampler(50, 8, key=make_key(seed)) for seed in (1, 1, 2)]
    assert tree_allclose(draws[0], draws[1], rtol=0)
    assert not tree_allclose(draws[0], draws[2], rtol=0)


@pytest.mark.parametrize("sampler", [Stratified(), WithoutReplacement(), Permutation()], ids=str)
@pytest.mark.parametrize("batch", [1, 9, 64, 100])
def test_without_replacement_no_coordinate_comes_twice(sampler, batch):
    keys = jax.random.split(make_key(14), 50)
    drawn = jax.vmap(lambda key: sampler(100, batch, key=key))(keys)
    assert all(len(set(row.tolist())) == batch for row in np.asarray(drawn.indices))
    assert drawn.distinct
    assert ((drawn.indices >= 0) & (drawn.indices < 100)).all()


def largest_array(sampler, dim, batch):
    jaxpr = jax.make_jaxpr(lambda key: sampler(dim, batch, key=key))(make_key(0))
    return max(math.prod(shape) for shape in jaxpr_shapes(jaxpr.jaxpr))


@pytest.mark.parametrize(
    "sampler", [Stratified(), WithReplacement(), WithoutReplacement()], ids=str
)
def test_drawing_few_of_a_hundred_million_coordinates_is_cheap(sampler):
    dim, batch = 10**8, 16
    drawn = sampler(dim, batch, key=make_key(15))
    assert ((drawn.indices >= 0) & (drawn.indices < dim)).all()
    assert int(drawn.indices.max()) > dim // 2
    assert float(drawn.weights.sum()) == pytest.approx(dim)
    assert largest_array(sampler, dim, batch) <= batch**2


def test_a_permutation_is_not_cheap():
    assert largest_array(Permutation(), 1000, 16) >= 1000


def some_directions(kind):
    if kind == "dense":
        vectors = jax.random.normal(make_key(16), (4, 6))
        return DenseDirections(vectors, jnp.array([0.5, 1.0, 2.0, 0.25]))
    indices = {"distinct": [4, 0, 5, 1], "repeated": [4, 0, 4, 4], "neighbours": [0, 1, 2, 1]}
    return coordinate_directions(indices[kind], [0.5, -2.0, 1.5, 3.0], [0.5, 1.0, 2.0, 0.25])


KINDS = ["distinct", "repeated", "neighbours", "dense"]


@pytest.mark.parametrize("kind", KINDS)
def test_products_against_the_dense_matrix(float64, kind):
    dim = 6
    directions = some_directions(kind)
    rows = dense_matrix(directions, dim)
    keys = jax.random.split(make_key(17), 4)
    x, s = jax.random.normal(keys[0], (dim,)), jax.random.normal(keys[1], (4,))
    matrix = jax.random.normal(keys[2], (5, dim))
    factors = jax.random.normal(keys[3], (4,))

    def check(ours, theirs):
        np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-13)

    check(directions.displace(x, s), x + s @ rows)
    check(directions.contract(matrix), rows @ matrix.T)
    check(directions.dot(x), rows @ x)
    check(directions.squared_length(s), (s @ rows) @ (s @ rows))
    scaled = directions.scaled(factors)
    check(dense_matrix(scaled, dim), factors[:, None] * rows)
    check(scaled.weights, directions.weights)


@pytest.mark.parametrize("block", [1, 2, 3, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_fold_against_the_dense_matrix(float64, kind, block):
    directions = some_directions(kind)
    window = jax.random.normal(make_key(18), (block,))
    folded = directions.fold(window)
    blocks = dense_matrix(directions, 6).reshape(4, -1, block) @ window
    np.testing.assert_allclose(dense_matrix(folded, 6 // block), blocks, rtol=1e-13, atol=1e-13)
    # Two coordinates may share a block: their images are then not at right angles.
    s = jax.random.normal(make_key(19), (4,))
    np.testing.assert_allclose(folded.squared_length(s), jnp.sum((s @ blocks) ** 2), rtol=1e-12)
    assert tree_allclose(folded.weights, directions.weights)


def test_all_coordinates_is_the_identity():
    directions = all_coordinates(5)
    np.testing.assert_array_equal(dense_matrix(directions, 5), np.eye(5))
    assert directions.distinct


@pytest.mark.parametrize("kind", KINDS)
def test_embedded_against_the_dense_matrix(kind):
    directions = some_directions(kind)
    embedded = directions.embedded(range(2, 8), 9)
    expected = np.pad(dense_matrix(directions, 6), ((0, 0), (2, 1)))
    np.testing.assert_array_equal(dense_matrix(embedded, 9), expected)
    assert tree_allclose(embedded.weights, directions.weights)
