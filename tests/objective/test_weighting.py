import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stde_cli.ansatz.networks import MLP
from stde_cli.estimators import Exact
from stde_cli.objective.losses import Residual, condition_loss, condition_squares
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.objective.weighting import ByGradientNorm, Fixed
from stde_cli.problem.pdes import Symbolic
from stde_cli.system.prng import make_key
from stde_cli.training.start import FromNetwork
from stde_cli.training.state import Problem, initial_state
from stde_cli.training.step import training_step

CONDITIONS = [
    {"at": {"t": 0}, "residual": "u - sin(x)", "weight": 10},
    {"at": {"x": "boundary"}, "residual": "u_x - t*u**2", "weight": 0.3},
]


def problem_and_state(weighting, conditions=CONDITIONS):
    pde = Symbolic(
        2,
        coordinates={"t": [0, 1], "x": [-1, 2]},
        residual="u_t + u*u_x",
        conditions=conditions,
        key=make_key(0),
    )
    problem = Problem(
        SampledResidual(pde, Exact()),
        loss=Residual(),
        optimizer=lambda _: optax.sgd(0.01),
        points=5,
        condition_points=4,
        start=FromNetwork(),
        key=make_key(2),
        weighting=weighting,
    )
    state = initial_state(
        problem,
        lambda dim, key: MLP(dim, width=4, depth=2, key=key),
        start_key=make_key(1),
        network_key=make_key(3),
    )
    return problem, state


def test_factors_follow_the_ratio_of_gradients(float64: None) -> None:
    """Where an update is due, from gradients taken here; the step then minimises with them."""
    problem, state = problem_and_state(ByGradientNorm(every=2, decay=0.75))
    pde, field = problem.pde, state.ansatz
    step_key = jax.random.fold_in(problem.key, 0)
    points_key, loss_key, key = jax.random.split(step_key, 3)
    x = pde.domain.sample_interior(5, key=points_key)

    def norm_and_value(term):
        def of_network(network):
            return term(eqx.tree_at(lambda a: a.network, field, network))

        value, gradient = jax.jit(jax.value_and_grad(of_network))(field.network)
        leaves = [np.asarray(leaf).ravel() for leaf in jax.tree.leaves(gradient)]
        return np.linalg.norm(np.concatenate(leaves)), value

    equation, value = norm_and_value(
        lambda u: Residual()(SampledResidual(pde, Exact()), u, x, key=loss_key)
    )
    pairs = [
        norm_and_value(
            lambda u, k=k: condition_squares(SampledResidual(pde, Exact()), k, 4, key=key).sum(u)
        )
        for k in range(2)
    ]
    expected = [0.75 + 0.25 * equation / norm for norm, _ in pairs]
    after, loss = jax.jit(training_step)(problem, state)
    np.testing.assert_allclose(after.weights, expected, rtol=1e-10)
    own = [condition.weight for condition in pde.conditions]
    beside = sum(w * f * v for w, f, (_, v) in zip(own, expected, pairs, strict=True))
    np.testing.assert_allclose(loss, value + beside, rtol=1e-10)
    whole = jax.jit(
        lambda factors: condition_loss(SampledResidual(pde, Exact()), field, 4, factors, key=key)
    )(after.weights)
    np.testing.assert_allclose(whole, beside, rtol=1e-10)
    later, _ = jax.jit(training_step)(problem, after)
    assert (later.weights == after.weights).all()


def test_a_condition_without_a_gradient_keeps_its_factor() -> None:
    factors = ByGradientNorm(decay=0.5)(
        jnp.array([3.0, 3.0]), jnp.array(0), lambda: jnp.array([8.0, 0.0, 2.0])
    )
    assert factors is not None
    np.testing.assert_allclose(factors, [3.0, 3.5])


def test_without_conditions_nothing_is_weighed() -> None:
    (plain, first), (balanced, second) = (
        problem_and_state(weighting, []) for weighting in (Fixed(), ByGradientNorm())
    )
    assert first.weights is None
    a, b = (jax.jit(training_step)(*each)[0] for each in ((plain, first), (balanced, second)))
    assert eqx.tree_equal(a.ansatz, b.ansatz)


@pytest.mark.parametrize("wrong", [{"every": 0}, {"decay": 1.0}, {"decay": -0.1}], ids=str)
def test_refuses(wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ByGradientNorm(**wrong)
