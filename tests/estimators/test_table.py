"""Every operator with every sampler: no bias, by repetition and by enumeration."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.autodiff.directions import (
    CoordinateDirections,
    Dense,
    DenseDirections,
    Importance,
    Stratified,
    WithoutReplacement,
    WithReplacement,
    one_by_one,
)
from stde_cli.estimators import STDE, Exact, NestedBackward, mean_and_standard_error
from stde_cli.problem.operators import (
    Combination,
    Divergence,
    Drift,
    GradientNorm,
    Laplacian,
    Partial,
    Polyharmonic,
    SecondOrder,
    SumOfPartials,
    WeightedTrace,
)
from stde_cli.system.prng import make_key
from tests.helpers import point_inside, random_ansatz, relative_difference

DIM = 5
RADEMACHER, GAUSSIAN = Dense("rademacher"), Dense("gaussian")
COORDINATES = (Stratified(), Importance(), WithReplacement(), WithoutReplacement())
SAMPLERS = (*COORDINATES, RADEMACHER, GAUSSIAN)
COEFFICIENTS = np.array([2.0, 0.05, -1.0, 0.0, 3.0])
DIAGONAL = np.array([0.5, 1.5, -1.0, 2.0, 0.3])
TALL = np.arange(1.0, 16.0).reshape(5, 3) / 8 - 1
SKEW = np.array([[1.0, 4.0, 0.0], [-2.0, -3.0, 1.5], [0.5, 0.0, 0.2]])


def pair_coefficient(x, indices):
    """C_ij(x) = (1 + i) x_j^2."""
    return (1 + indices[:, 0]) * x[indices[:, 1]] ** 2


def shear(x):
    """A matrix that moves with the point."""
    return jnp.eye(DIM) + jnp.outer(x, x[::-1])


SECOND = {
    "laplacian": lambda: Laplacian(),
    "laplacian within": lambda: Laplacian((1, 4)),
    "gradient norm": lambda: GradientNorm(),
    "trace, number": lambda: WeightedTrace(jnp.array(0.7)),
    "trace, diagonal": lambda: WeightedTrace(jnp.array(DIAGONAL)),
    "trace, matrix": lambda: WeightedTrace(jnp.array(TALL)),
    "trace, function": lambda: WeightedTrace(shear),
    "trace within": lambda: WeightedTrace(lambda x: x[1:4], (1, 4)),
    "second order": lambda: SecondOrder(jnp.array(SKEW), (1, 4)),
    "divergence": lambda: Divergence(lambda x: 1 + x[0] ** 2 + x[1] * x[3], (0, 4)),
}
OTHERS = {
    "biharmonic": lambda: Polyharmonic(2),
    "triharmonic": lambda: Polyharmonic(3, (1, 3)),
    "pairs": lambda: SumOfPartials((2, 2), span=(1, 4)),
    "iij": lambda: SumOfPartials((2,), fixed=(0, 2), span=(1, 4)),
    "mixed": lambda: Combination((2.0, -0.5), (Laplacian(), Drift(lambda x: jnp.sin(x)))),
}
COORDINATES_ONLY = {
    "fourth": lambda: SumOfPartials((4,)),
    "array": lambda: SumOfPartials((4,), coefficient=jnp.array(COEFFICIENTS)),
    "array within": lambda: SumOfPartials(
        (2,), span=(1, 4), coefficient=jnp.array(COEFFICIENTS[:3])
    ),
    "function": lambda: SumOfPartials((2, 1), coefficient=pair_coefficient),
    "neighbours": lambda: SumOfPartials(
        (1, 1),
        span=(0, 4),
        places=((0, 0), (0, 1)),
        coefficient=jnp.array(COEFFICIENTS[:4]),
    ),
}
OPERATORS = SECOND | OTHERS | COORDINATES_ONLY


def setting():
    return random_ansatz(DIM, width=4, depth=2, activation="sin"), point_inside(DIM)


def samplers_of(name):
    return COORDINATES if name in COORDINATES_ONLY else SAMPLERS


SLOW = {"triharmonic", "pairs", "function", "fourth", "iij", "neighbours", "diagonal", "divergence"}
"""Slow to compile, and enumerated below or alike to another of the table."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in OPERATORS]
)
def test_the_mean_of_many_draws_is_within_its_error(float64, name):
    (field, x), operator = setting(), OPERATORS[name]()

    def all_of(x):
        found = [
            mean_and_standard_error(
                STDE(sampler, 2 + seed % 2), field, operator, x, draws=1500, key=make_key(seed)
            )
            for seed, sampler in enumerate(samplers_of(name))
        ]
        return found, operator.exact(field, x)

    found, truth = jax.jit(all_of)(x)
    for sampler, (mean, error) in zip(samplers_of(name), found, strict=True):
        assert abs(mean - truth) < 4 * error + 1e-12, sampler
        assert error < 0.4 * abs(truth), sampler
    assert max(error for _, error in found) > 1e-4 * abs(truth)


@pytest.mark.parametrize("name", OPERATORS)
def test_nested_backward_reads_the_same_from_the_same_draw(float64, name):
    """And the same key gives both the same draw."""
    (field, x), operators = setting(), {"value": OPERATORS[name]()}

    def both(x):
        pairs = []
        for sampler in (Stratified(), Importance() if name in COORDINATES_ONLY else GAUSSIAN):
            drawn = STDE(sampler, 2).draw(operators, DIM, key=make_key(5))
            forward = STDE(sampler, 2)(field, operators, x, drawn)
            again = NestedBackward(sampler, 2).draw(operators, DIM, key=make_key(5))
            pairs.append((forward, NestedBackward(sampler, 2)(field, operators, x, again)))
        return pairs

    for (u, forward), (v, backward) in jax.jit(both)(x):
        np.testing.assert_allclose(u, v, rtol=1e-13)
        np.testing.assert_allclose(forward["value"], backward["value"], rtol=1e-9)


# Enumeration: the mean over every outcome of a draw.

SMALL = 3


def every_outcome(draw, outcomes, *, sets_are_unordered):
    """Every outcome of `draw(key)` once, stacked; they must come equally often."""
    keys = jax.random.split(make_key(40), 60 * outcomes)
    drawn = jax.jit(jax.vmap(draw))(keys)
    directions = drawn[0] if isinstance(drawn, tuple) else drawn
    dense = isinstance(directions, DenseDirections)
    sets = np.asarray(directions.vectors if dense else directions.indices)
    sets = sets.reshape(len(keys), directions.weights.shape[1], -1)
    if sets_are_unordered:
        sets = np.array([sorted(map(tuple, one)) for one in sets])
    found, first, counts = np.unique(
        sets.reshape(len(keys), -1), axis=0, return_index=True, return_counts=True
    )
    assert len(found) == outcomes
    assert np.abs(counts - 60).max() < 5 * np.sqrt(60)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[first], drawn)


COUNTS = [
    # Directions of one draw; outcomes of one draw, of a second one in random order, of both where
    # the order of the sets does not matter.
    (Stratified(), 2, 2, 4, None),
    (WithReplacement(), 2, 9, 9, None),
    (WithoutReplacement(), 2, 3, 6, 18),
    (RADEMACHER, 1, 8, 8, None),
]
ENUMERATED = {
    "gradient norm": (lambda: GradientNorm(), 1),
    "fourth": (lambda: SumOfPartials((4,)), 1),
    "iij": (lambda: SumOfPartials((2,), fixed=(1,)), 1),
    "trace": (lambda: WeightedTrace(jnp.array(TALL[:3])), 1),
    "second order": (lambda: SecondOrder(jnp.array(SKEW)), 1),
    "divergence": (lambda: Divergence(lambda x: 1 + x[0] ** 2 * x[1]), 1),
    "pairs": (lambda: SumOfPartials((2, 2)), 2),
    "function": (lambda: SumOfPartials((2, 1), coefficient=pair_coefficient), 2),
    "biharmonic": (lambda: Polyharmonic(2), 2),
}


@pytest.mark.parametrize("name", ENUMERATED)
def test_the_mean_over_every_draw_is_exact(float64, name):
    make, draws = ENUMERATED[name]
    field, x = random_ansatz(SMALL, width=4, depth=2), point_inside(SMALL)
    operator = make()
    stacked = []
    for sampler, batch, one, other, unordered in COUNTS:
        if sampler == RADEMACHER and name in ("fourth", "function"):
            continue
        outcomes = one if draws == 1 else unordered or one * other
        drawn = every_outcome(
            lambda key, s=sampler, b=batch: operator.draw(s, b, SMALL, key=key),
            outcomes,
            sets_are_unordered=unordered is not None,
        )
        stacked.append((sampler, drawn))

    def estimates(x):
        found = [
            jax.vmap(
                lambda drawn, s=s: STDE(s, 1)(field, {"v": operator}, x, {"v": drawn})[1]["v"]
            )(drawn)
            for s, drawn in stacked
        ]
        return found, operator.exact(field, x)

    found, truth = jax.jit(estimates)(x)
    for (sampler, _), values in zip(stacked, found, strict=True):
        assert np.std(values) > 1e-3 * abs(truth), sampler
        np.testing.assert_allclose(np.mean(values), truth, rtol=1e-10, err_msg=str(sampler))


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("name", ["array", "neighbours"])
def test_importance_over_every_ticket(float64, monkeypatch, name, batch):
    """Tickets between two steps of the running sum draw alike: both ends of each run are tried."""
    (field, x), operator = setting(), COORDINATES_ONLY[name]()
    sizes = np.abs(np.array(jax.tree.leaves(operator)[0]))
    counts = np.ceil(sizes / sizes.sum() * 2**29)
    ends = np.cumsum(counts.astype(int))
    total, strata = ends[-1], []
    for k in range(batch):
        start, stop = k * (total // batch), (k + 1) * (total // batch)
        stop = total if k == batch - 1 else stop
        cuts = sorted({start, *(end for end in ends if start < end < stop), stop})
        # Offsets of a run's first and last ticket, and how probable the run is.
        strata.append(
            [
                (a - start, b - 1 - start, (b - a) / (stop - start))
                for a, b in itertools.pairwise(cuts)
            ]
        )

    @jax.jit
    @jax.vmap
    def draw(offsets):
        with monkeypatch.context() as patched:
            patched.setattr(jax.random, "randint", lambda *args: offsets)
            return operator.draw(Importance(), batch, DIM, key=make_key(0))

    first, last, probability = np.moveaxis(np.array(list(itertools.product(*strata))), -1, 0)
    stacked = draw(first.astype(int))
    np.testing.assert_array_equal(stacked[0].indices, draw(last.astype(int))[0].indices)
    probabilities = np.prod(probability, axis=1)

    def estimates(x):
        def one(drawn):
            return STDE(Importance(), 1)(field, {"v": operator}, x, {"v": drawn})[1]["v"]

        return jax.vmap(one)(stacked), operator.exact(field, x)

    found, truth = jax.jit(estimates)(x)
    assert sum(probabilities) == pytest.approx(1, rel=1e-12)
    np.testing.assert_allclose(np.array(probabilities) @ found, truth, rtol=1e-10)
    indices = np.unique(stacked[0].indices)
    assert set(indices) == set(np.flatnonzero(sizes))


# The Gaussian constants, by Isserlis' theorem.

SYMMETRIC = np.array([[1.2, -0.4, 0.3], [-0.4, -0.7, 0.5], [0.3, 0.5, 0.9]])


def pairings(size):
    """E v_i v_j ... for a standard Gaussian v: a sum over pairings of products of deltas."""
    if size == 0:
        return np.ones(())
    total = np.zeros((3,) * size)
    for partner in range(1, size):
        rest = np.multiply.outer(np.eye(3), pairings(size - 2))
        total += np.moveaxis(rest, 1, partner)
    return total


@pytest.mark.parametrize("times", [2, 3])
def test_the_constant_of_the_gaussian_polyharmonic(float64, times):
    """u = (x.Ax)^p: D^2p u(v, ...) = (2p)! (v.Av)^p, whose mean is known; so is Laplacian^p u."""
    traces = [np.trace(np.linalg.matrix_power(SYMMETRIC, k)) for k in (1, 2, 3)]
    moment, wanted = {
        2: (traces[0] ** 2 + 2 * traces[1], 8.0),
        3: (traces[0] ** 3 + 6 * traces[0] * traces[1] + 8 * traces[2], 48.0),
    }[times]
    letters = "abcdef"[: 2 * times]
    quadratic = ",".join(letters[2 * k : 2 * k + 2] for k in range(times))
    by_pairing = np.einsum(f"{letters},{quadratic}", pairings(2 * times), *[SYMMETRIC] * times)
    np.testing.assert_allclose(by_pairing, moment, rtol=1e-12)

    def field(x):
        return (x @ SYMMETRIC @ x) ** times

    operator, x = Polyharmonic(times), jnp.array([0.3, -0.2, 0.5])
    drawn = operator.draw(GAUSSIAN, 2, SMALL, key=make_key(3))
    vectors = np.asarray(drawn[0].vectors)[:, 0]
    forms = np.einsum("ki,ij,kj->k", vectors, SYMMETRIC, vectors)

    def both(x):
        one = STDE(GAUSSIAN, 2)(field, {"v": operator}, x, {"v": drawn})[1]["v"]
        return one, operator.exact(field, x)

    estimate, exact = jax.jit(both)(x)
    # What one draw gives is wanted * mean (v.Av)^p, and its mean is exact.
    np.testing.assert_allclose(estimate, wanted * np.mean(forms**times), rtol=1e-10)
    np.testing.assert_allclose(exact, wanted * moment, rtol=1e-10)


# Variance.


@pytest.mark.parametrize("name", ["laplacian", "gradient norm", "fourth", "array", "divergence"])
@pytest.mark.parametrize("sampler", [Stratified(), WithoutReplacement()], ids=str)
def test_a_draw_of_every_coordinate_is_exact(float64, name, sampler):
    (field, x), operator = setting(), OPERATORS[name]()

    def both(x):
        drawn = operator.draw(sampler, DIM, DIM, key=make_key(2))
        found = STDE(sampler, DIM)(field, {"v": operator}, x, {"v": drawn})[1]["v"]
        return found, operator.exact(field, x)

    np.testing.assert_allclose(*jax.jit(both)(x), rtol=1e-10)


def test_importance_has_less_variance_where_coefficients_differ(float64):
    """Every term alike but for its coefficient: nothing but rounding is left of the variance."""
    sizes = np.array([100.0, 1.0, 0.01, 30.0, 0.1, 3.0, 0.0, 7.0])
    operator = SumOfPartials((4,), coefficient=jnp.array(sizes))
    x = jnp.full(8, 0.4)

    def field(x):
        return jnp.sum(jnp.exp(x))

    def errors(x):
        return [
            mean_and_standard_error(
                STDE(sampler, 2), field, operator, x, draws=500, key=make_key(6)
            )
            for sampler in (Importance(), Stratified())
        ]

    (mean, error), (_, uniform) = jax.jit(errors)(x)
    truth = sizes.sum() * np.exp(0.4)
    np.testing.assert_allclose(mean, truth, rtol=1e-6)
    assert error < 1e-6 * truth < 1e-2 * truth < uniform


# Partial derivatives: nothing is sampled.


def test_partials_do_not_depend_on_the_key(float64):
    (field, x), factor = setting(), jnp.array(-1.5)
    operators = {
        "first": Partial((2,)),
        "mixed": Partial((0, 1, 1, 3)),
        "pure": Partial((4, 4, 4)),
        "sum": Combination((2.0, factor), (Partial((0, 1, 1, 3)), Partial((2, 4)))),
        "cancelled": Combination((1.0, -1.0), (Partial((0, 1)), Partial((1, 0)))),
        "nested": Combination(
            (0.5, 1.0), (Combination((2.0,), (Partial((1, 1)),)), Partial((3, 3)))
        ),
    }
    estimators = [STDE(Stratified(), 2), STDE(GAUSSIAN, 1), NestedBackward(Stratified(), 2)]

    def all_of(x, key):
        found = [
            e(field, operators, x, e.draw(operators, DIM, key=key)) for e in (*estimators, Exact())
        ]
        return found, {name: operator.exact(field, x) for name, operator in operators.items()}

    program = jax.jit(all_of)
    (found, truth), (others, _) = (program(x, make_key(seed)) for seed in (0, 1))
    for (u, values), (_, again) in zip(found, others, strict=True):
        np.testing.assert_allclose(u, field(x), rtol=1e-13)
        for name, expected in truth.items():
            assert values[name] == again[name]
            np.testing.assert_allclose(values[name], expected, rtol=1e-9, atol=1e-13, err_msg=name)


def test_the_jets_of_a_partial_read_it_too(float64):
    """As a term among sampled ones."""
    (field, x), operator = setting(), Combination((2.0, 3.0), (Laplacian(), Partial((0, 3, 3))))

    def both(x):
        estimator = STDE(Stratified(), DIM)
        drawn = estimator.draw({"v": operator}, DIM, key=make_key(1))
        nested = NestedBackward(Stratified(), DIM)(field, {"v": operator}, x, drawn)
        found = estimator(field, {"v": operator}, x, drawn)
        return found[1]["v"], nested[1]["v"], operator.exact(field, x)

    ours, nested, exact = jax.jit(both)(x)
    np.testing.assert_allclose([ours, nested], [exact, exact], rtol=1e-9)


def test_several_operators_at_once(float64):
    """Values by name are those of each operator alone; u is the field's."""
    field, x = setting()
    operators = {"a": Laplacian(), "b": Partial((1, 2)), "c": SumOfPartials((2, 2), span=(0, 3))}
    estimator = STDE(Stratified(), 2)

    def both(x):
        drawn = estimator.draw(operators, DIM, key=make_key(4))
        together = estimator(field, operators, x, drawn)
        alone = {
            name: estimator(field, {name: o}, x, {name: drawn[name]})
            for name, o in operators.items()
        }
        return together, alone

    (u, values), alone = jax.jit(both)(x)
    np.testing.assert_allclose(u, field(x), rtol=1e-13)
    for name, (v, value) in alone.items():
        np.testing.assert_allclose(v, u, rtol=1e-13)
        assert relative_difference(values[name], value[name]) < 1e-12


def test_one_by_one_puts_the_kth_of_every_draw_together():
    first, second = (
        CoordinateDirections(jnp.array(i), jnp.ones(3), jnp.array(w), distinct=True)
        for i, w in (([4, 0, 2], [1.0, 2.0, 3.0]), ([1, 1, 3], [4.0, 5.0, 6.0]))
    )
    stacked = one_by_one(first, second)
    assert isinstance(stacked, CoordinateDirections)
    np.testing.assert_array_equal(stacked.indices, [[4, 1], [0, 1], [2, 3]])
    np.testing.assert_array_equal(stacked.weights, [[1, 4], [2, 5], [3, 6]])
    assert not stacked.distinct
