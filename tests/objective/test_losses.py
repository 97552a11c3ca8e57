from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stde_cli.ansatz.hard_constraint import HardConstraint
from stde_cli.ansatz.networks import MLP
from stde_cli.autodiff.directions import (
    Dense,
    DenseDirections,
    Permutation,
    Stratified,
    WithReplacement,
)
from stde_cli.estimators import STDE, Exact, NestedBackward, SDGDBackwardVmap
from stde_cli.objective.losses import (
    GPINN,
    GradientEnhanced,
    Residual,
    UnbiasedResidual,
    condition_loss,
)
from stde_cli.objective.sampled_residual import SampledCondition, SampledResidual
from stde_cli.problem.operators import Laplacian
from stde_cli.problem.pdes import AllenCahn, Poisson, SineGordon, ThreeBody, TwoBody
from stde_cli.problem.pdes.symbolic import Symbolic
from stde_cli.system.prng import make_key
from stde_cli.system.types import PRNGKey
from stde_cli.training import Problem, initial_state
from stde_cli.training.start import AbstractStart, Start, Units
from stde_cli.training.step import training_step
from tests.helpers import (
    constant_guess,
    filled,
    laplacian,
    point_inside,
    random_ansatz,
    random_guess,
    random_network,
    random_pde,
    tree_allclose,
)

DIM = 4
# Estimators whose draws are equally probable, and how many draws there are.
ESTIMATORS = [
    (STDE(Stratified(), 2), 4),
    (STDE(WithReplacement(), 1), 4),
    (STDE(WithReplacement(), 2), 16),
    (STDE(Dense("rademacher"), 1), 16),
]


def numbers(drawn):
    """What tells one draw from another."""
    directions = drawn["laplacian"]
    dense = isinstance(directions, DenseDirections)
    return (directions.vectors if dense else directions.indices).ravel()


def keys_of_every_draw(draw, outcomes):
    """One key for each outcome of `draw(key)`, an array of numbers."""
    keys = jax.random.split(make_key(50), 30 * outcomes)
    drawn = np.asarray(jax.jit(jax.vmap(draw))(keys))
    _, first = np.unique(drawn, axis=0, return_index=True)
    assert len(first) == outcomes
    return keys[first]


def setting(equation):
    pde = filled(lambda: random_pde(DIM, equation), scale=1)
    points = jnp.stack([point_inside(DIM, seed=s, length=0.3 * s) for s in (1, 2, 3)])
    parameters, static = eqx.partition(
        random_ansatz(DIM, width=4, depth=2, radius=1.0), eqx.is_inexact_array
    )
    return pde, points, parameters, static


def exact_loss(parameters, static, pde, points):
    """mean (L u - f)^2 by nested derivatives."""
    field = eqx.combine(parameters, static)

    def residual(x):
        return pde.lhs(x, field(x), {"laplacian": laplacian(field, x)}) - pde.source(x)

    return jnp.mean(jax.vmap(residual)(points) ** 2)


def exact_value_and_gradient(parameters, static, pde, points):
    return jax.jit(jax.value_and_grad(lambda p: exact_loss(p, static, pde, points)))(parameters)


def check_close(tree, expected):
    for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10 * np.abs(b).max())


@pytest.mark.parametrize(
    ("estimator", "outcomes", "equation"),
    [
        (*ESTIMATORS[0], AllenCahn),
        (*ESTIMATORS[1], Poisson),
        (*ESTIMATORS[2], SineGordon),
        (*ESTIMATORS[3], AllenCahn),
    ],
    ids=str,
)
def test_unbiased_over_every_pair_of_draws(float64, estimator, outcomes, equation):
    pde, points, parameters, static = setting(equation)

    def pair(key):
        return jnp.concatenate(
            [numbers(estimator.draw(pde.operators, DIM, key=k)) for k in jax.random.split(key)]
        )

    keys = keys_of_every_draw(pair, outcomes**2)

    def loss(parameters, key):
        field = eqx.combine(parameters, static)
        return UnbiasedResidual()(SampledResidual(pde, estimator), field, points, key=key)

    def over_all_pairs(parameters):
        values, gradients = jax.vmap(jax.value_and_grad(loss), (None, 0))(parameters, keys)
        return values, jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), gradients)

    values, gradient = jax.jit(over_all_pairs)(parameters)
    truth, exact_gradient = exact_value_and_gradient(parameters, static, pde, points)
    assert np.std(values) > 1e-3 * truth
    np.testing.assert_allclose(np.mean(values), truth, rtol=1e-10)
    check_close(gradient, exact_gradient)


@pytest.mark.parametrize(("estimator", "outcomes"), ESTIMATORS, ids=str)
def test_biased_by_the_variance(float64, estimator, outcomes):
    pde, points, parameters, static = setting(AllenCahn)
    field = eqx.combine(parameters, static)
    keys = keys_of_every_draw(
        lambda key: numbers(estimator.draw(pde.operators, DIM, key=key)), outcomes
    )

    def over_all_draws(field):
        def one(key):
            drawn = estimator.draw(pde.operators, DIM, key=key)
            loss = Residual()(SampledResidual(pde, estimator), field, points, key=key)
            estimates = jax.vmap(
                lambda x: estimator(field, pde.operators, x, drawn)[1]["laplacian"]
            )(points)
            return loss, estimates

        return jax.vmap(one)(keys)

    losses, estimates = jax.jit(over_all_draws)(field)
    variance = np.mean(np.var(estimates, axis=0))
    truth = jax.jit(lambda p: exact_loss(p, static, pde, points))(parameters)
    assert variance > 1e-3 * truth
    np.testing.assert_allclose(np.mean(losses), truth + variance, rtol=1e-10)


@pytest.mark.parametrize("loss", [Residual(), UnbiasedResidual()], ids=str)
def test_without_sampling_both_are_the_exact_loss(float64, loss):
    pde, points, parameters, static = setting(SineGordon)

    def value(parameters):
        field = eqx.combine(parameters, static)
        return loss(SampledResidual(pde, Exact()), field, points, key=make_key(1))

    ours, gradient = jax.jit(jax.value_and_grad(value))(parameters)
    truth, exact_gradient = exact_value_and_gradient(parameters, static, pde, points)
    np.testing.assert_allclose(ours, truth, rtol=1e-11)
    check_close(gradient, exact_gradient)


def test_the_two_draws_of_the_unbiased_loss_differ(float64):
    """With J = K the loss would be a square and never negative."""
    pde, points, parameters, static = setting(Poisson)
    field = eqx.combine(parameters, static)
    keys = jax.random.split(make_key(2), 200)
    estimator = STDE(Dense("gaussian"), 1)
    values = jax.jit(
        jax.vmap(
            lambda key: UnbiasedResidual()(
                SampledResidual(pde, estimator), field, points[:1], key=key
            )
        )
    )(keys)
    assert np.min(values) < 0 < np.max(values)


@pytest.mark.parametrize(("solution", "count"), [(TwoBody, 4), (ThreeBody, 7)])
def test_gradient_enhanced_is_the_residual_and_its_exact_gradient(
    solution, count: int, float64: None
) -> None:
    """Against nested derivatives of the unrestricted residual, value and parameter gradient.

    With fewer points than coordinates, and with more.
    """
    dim, weight, radius = 6, 0.7, 1.2
    pde = random_pde(dim, AllenCahn, solution, radius=radius)
    points = pde.domain.sample_interior(count, key=make_key(2))
    # A coordinate of a point has the mean square radius^2 / (3 dim).
    factor = weight * dim / count * radius**2 / (3 * dim)

    def field(parameters):
        network = eqx.combine(parameters, static)
        return HardConstraint(network, pde.constraint, jnp.array(2.0), guess)

    guess = constant_guess(pde.constraint, 2.0)
    network = MLP(dim, width=5, depth=3, key=make_key(1))
    parameters, static = eqx.partition(network, eqx.is_inexact_array)

    def fast(parameters):
        loss = GradientEnhanced(weight)
        return loss(SampledResidual(pde, Exact()), field(parameters), points, key=make_key(3))

    def slow(parameters):
        u = field(parameters)

        def residual(x):
            exact = pde.solution
            source = pde.lhs(x, exact(x), {"laplacian": Laplacian().exact(exact, x)})
            return pde.lhs(x, u(x), {"laplacian": Laplacian().exact(u, x)}) - source

        values = jax.vmap(residual)(points)
        gradients = jax.vmap(jax.grad(residual))(points)
        return jnp.mean(values**2) + factor * jnp.mean(jnp.sum(gradients**2, axis=1))

    value, gradient = jax.jit(jax.value_and_grad(fast))(parameters)
    expected_value, expected_gradient = jax.jit(jax.value_and_grad(slow))(parameters)
    assert tree_allclose((value, gradient), (expected_value, expected_gradient), rtol=1e-9)


CONDITIONS = [
    {"at": {"t": 0}, "residual": "u - sin(x)", "weight": 10},
    {"at": {"x": "boundary"}, "residual": "u_x - t*u**2", "weight": 0.3},
]


def with_conditions(conditions=CONDITIONS) -> Symbolic:
    return Symbolic(
        2,
        coordinates={"t": [0, 1], "x": [-1, 2]},
        residual="u_t + u*u_x - u_xx",
        conditions=conditions,
        key=make_key(0),
    )


def test_condition_loss_is_the_weighted_sum_of_mean_squares(float64: None) -> None:
    """At the points of each condition's own key, by nested derivatives."""
    pde, key = with_conditions(), make_key(7)
    field = random_network(2)
    squares = []
    for number, condition in enumerate(pde.conditions):
        points_key, _ = jax.random.split(jax.random.split(key, len(pde.conditions))[number])
        x = condition.sample(9, key=points_key)

        @jax.jit
        def both(x, condition=condition, number=number):
            u, slope = jax.vmap(field)(x), jax.vmap(jax.grad(field))(x)[:, 1]
            found = u - jnp.sin(x[:, 1]) if number == 0 else slope - x[:, 0] * u**2
            return found, SampledCondition(condition, Exact()).at(field, x, key=key)

        found, drawn_as = both(x)
        np.testing.assert_allclose(drawn_as, found, rtol=1e-11)
        squares.append(float(jnp.mean(found**2)))
    loss = jax.jit(lambda field: condition_loss(SampledResidual(pde, Exact()), field, 9, key=key))(
        field
    )
    np.testing.assert_allclose(loss, 10 * squares[0] + 0.3 * squares[1], rtol=1e-11)


class Given(AbstractStart):
    """Some guess and some units."""

    def __call__(self, residual: SampledResidual, points: int, *, key: PRNGKey) -> Start:
        units = Units(loss=jnp.array(3.0), conditions=jnp.array(7.0))
        return Start(constant_guess(residual.pde.constraint, 1.0), jnp.array(2.0), units)


@pytest.mark.parametrize("conditions", [CONDITIONS, []], ids=["with", "without"])
def test_a_step_adds_the_conditions_in_their_own_unit(conditions, float64: None) -> None:
    """And draws for the equation as if there were none."""
    pde, estimator = with_conditions(conditions), Exact()
    problem = Problem(
        SampledResidual(pde, estimator),
        Residual(),
        lambda _: optax.sgd(1.0),
        5,
        8,
        Given(),
        make_key(2),
    )
    state = initial_state(
        problem,
        lambda dim, key: MLP(dim, width=4, key=key),
        start_key=make_key(1),
        network_key=make_key(3),
    )
    state = eqx.tree_at(lambda s: s.step, state, jnp.array(11, jnp.int32))
    step_key = jax.random.fold_in(problem.key, 11)
    points_key, loss_key, conditions_key = jax.random.split(step_key, 3)
    x = pde.domain.sample_interior(5, key=points_key)

    def expected(network):
        u = eqx.tree_at(lambda a: a.network, state.ansatz, network)
        value = Residual()(SampledResidual(pde, estimator), u, x, key=loss_key) / 3
        if conditions:
            value = (
                value
                + condition_loss(SampledResidual(pde, estimator), u, 8, key=conditions_key) / 7
            )
        return value

    later, loss = jax.jit(training_step)(problem, state)
    value, gradient = jax.jit(jax.value_and_grad(expected))(state.ansatz.network)
    np.testing.assert_allclose(loss, value, rtol=1e-12)
    moved = jax.tree.map(lambda a, b: a - b, state.ansatz.network, gradient)
    check_close(jax.tree.leaves(later.ansatz.network), jax.tree.leaves(moved))
    assert later.step == 12


@pytest.mark.parametrize(
    "estimator",
    [
        Exact(),
        STDE(Stratified(), 2),
        STDE(WithReplacement(), 3),
        STDE(Dense("rademacher"), 2),
        NestedBackward(Stratified(), 2),
    ],
    ids=str,
)
def test_all_components_sampled_are_the_whole_gradient(float64, estimator):
    pde, points, parameters, static = setting(AllenCahn)
    draw_key, _ = jax.random.split(make_key(3))

    def difference(parameters):
        field = eqx.combine(parameters, static)
        whole, sampled = (
            GradientEnhanced(0.7, components=count)(
                SampledResidual(pde, estimator), field, points, key=key
            )
            for count, key in ((None, draw_key), (DIM, make_key(3)))
        )
        return sampled - whole, whole

    (value, whole), slopes = jax.jit(jax.value_and_grad(difference, has_aux=True))(parameters)
    assert abs(value) < 1e-10 * whole
    for slope in jax.tree.leaves(slopes):
        assert np.abs(slope).max() < 1e-8 * whole


def test_sampled_components_are_unbiased(float64):
    pde, points, parameters, static = setting(SineGordon)
    field = eqx.combine(parameters, static)
    # Two strata of two coordinates: four equally probable draws of two components.
    draw = jax.vmap(lambda key: Stratified()(DIM, 2, key=jax.random.split(key)[1]).indices)
    keys = jax.random.split(make_key(8), 64)
    _, first = np.unique(np.asarray(draw(keys)), axis=0, return_index=True)
    assert len(first) == 4

    def loss(key, components):
        return GradientEnhanced(2.0, components)(
            SampledResidual(pde, Exact()), field, points, key=key
        )

    sampled = jax.jit(jax.vmap(lambda key: loss(key, 2)))(keys[first])
    whole = jax.jit(lambda: loss(make_key(0), None))()
    assert np.std(sampled) > 1e-3 * whole
    np.testing.assert_allclose(np.mean(sampled), whole, rtol=1e-10)


@pytest.mark.parametrize(
    "estimator",
    [STDE(Stratified(), 2), pytest.param(STDE(Dense("rademacher"), 1), marks=pytest.mark.slow)],
    ids=str,
)
def test_sampled_components_leave_the_known_part_exact(estimator, float64):
    """Where the network is silent, nothing is sampled but which components are looked at."""
    pde = Symbolic(
        DIM,
        coordinates={"x": {"ball": 1}},
        residual="laplacian(u) + grad_norm2(u)/9 + u**2 - f",
        source="x1*x2",
        constraint="1 - norm2(x)",
        lift="exp(x1) + x2*x3",
        key=make_key(0),
    )
    points = pde.domain.sample_interior(3, key=make_key(1))
    network = jax.tree.map(jnp.zeros_like, random_network(DIM, "additive_mlp", width=3, depth=2))
    guess = random_guess(pde.constraint, range(DIM))
    field = HardConstraint(network, pde.constraint, 0.8, guess, pde.lift)

    def losses(field):
        sampled = GradientEnhanced(0.7, DIM)(
            SampledResidual(pde, estimator), field, points, key=make_key(3)
        )
        return sampled, GradientEnhanced(0.7)(
            SampledResidual(pde, Exact()), field, points, key=make_key(3)
        )

    sampled, exact = jax.jit(losses)(field)
    np.testing.assert_allclose(sampled, exact, rtol=1e-11)


SAMPLED = {
    "laplacian": "laplacian(u)",
    "biharmonic": "biharmonic(u)",
    "pairs": "sum(i, sum(j, x[i]*partial(u, x[i], x[i], x[j])))",
}


@pytest.mark.parametrize("name", SAMPLED)
def test_components_are_sampled_apart_from_the_operators_directions(name, float64):
    """The mean over both is that of the whole gradient over the directions."""
    coordinates = {"x": {"ball": 1}}
    pde = Symbolic(8, coordinates=coordinates, residual=SAMPLED[name], key=make_key(0))
    points = pde.domain.sample_interior(1, key=make_key(1))
    field = random_ansatz(8, width=4, depth=2, activation="sin")
    estimator = STDE(Stratified(), 4)

    def mean_and_variance(components, keys):
        loss = GradientEnhanced(1.0, components)
        values = jax.vmap(
            lambda key: loss(SampledResidual(pde, estimator), field, points, key=key)
        )(keys)
        return jnp.mean(values), jnp.var(values) / len(keys)

    @jax.jit
    def both():
        keys = jax.random.split(make_key(2), (2, 2000))
        return mean_and_variance(4, keys[0]), mean_and_variance(None, keys[1])

    (sampled, variance), (whole, whole_variance) = both()
    assert abs(sampled - whole) < 4 * np.sqrt(variance + whole_variance)
    assert np.sqrt(variance + whole_variance) < 0.1 * whole


def test_the_chain_rule_gives_the_gradient_of_a_residual_in_partial_derivatives(float64):
    pde = with_residual("u_t + x*u*u_x + 0.3*u_xxx - exp(t)*u_tx**2 + sin(x)*u")
    points = jax.random.uniform(make_key(1), (3, 2))
    field = random_network(2, width=5)
    ours, theirs = (
        jax.jit(
            lambda e=e: GradientEnhanced(1.5)(
                SampledResidual(pde, e), field, points, key=make_key(0)
            )
        )()
        for e in (STDE(Stratified(), 2), NestedBackward(Stratified(), 2))
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)

    def by_hand():
        residual = partial(pde.equation.of, field)
        values, slopes = jax.vmap(residual)(points), jax.vmap(jax.grad(residual))(points)
        # The ranges of t and x are of lengths 1 and 2: a uniform number has a twelfth's square.
        squares = (slopes[:, 0] ** 2 + 4 * slopes[:, 1] ** 2) / 12
        return jnp.mean(values**2 + 1.5 * 2 / 3 * squares)

    np.testing.assert_allclose(ours, jax.jit(by_hand)(), rtol=1e-10)


def with_residual(text: str) -> Symbolic:
    coordinates = {"t": [0, 1], "x": [-1, 1]}
    return Symbolic(2, coordinates=coordinates, residual=text, key=make_key(0))


def test_the_published_gradient_loss_is_ours_with_another_weight(float64):
    """All components sampled; 0.1 there is 0.1 points/(dim spread^2) here."""
    pde, points, parameters, static = setting(AllenCahn)
    residual, field = SampledResidual(pde, Exact()), eqx.combine(parameters, static)
    weight = 0.1 * len(points) / DIM / pde.domain.spread**2

    @jax.jit
    def losses():
        return (
            GPINN(0.1, DIM)(residual, field, points, key=make_key(3)),
            GradientEnhanced(weight)(residual, field, points, key=make_key(3)),
        )

    published, ours = losses()
    np.testing.assert_allclose(published, ours, rtol=1e-10)


def test_its_components_are_forward_derivatives_over_hessian_vector_products(float64):
    pde, points, parameters, static = setting(AllenCahn)
    field = eqx.combine(parameters, static)

    @jax.jit
    def losses():
        estimators = SDGDBackwardVmap(2), STDE(Permutation(), 2)
        residuals = [SampledResidual(pde, estimator) for estimator in estimators]
        return [GPINN(0.7, 2)(r, field, points, key=make_key(4)) for r in residuals]

    nested, restricted = losses()
    np.testing.assert_allclose(nested, restricted, rtol=1e-10)
