"""A start at random features: its linearised equations, and how near the solution it comes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.ansatz.hard_constraint import without_network
from stde_cli.ansatz.random_features import RandomFeatures
from stde_cli.estimators import Exact
from stde_cli.expressions.symmetric import Arguments
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.pdes.symbolic import Symbolic
from stde_cli.system.errors import UsageError
from stde_cli.system.prng import make_key
from stde_cli.training.start import FromRandomFeatures, Units
from stde_cli.training.start.equations import Equations
from stde_cli.training.start.feature_fits import Inputs, above_noise


def pde_of(dim: int, **options) -> Symbolic:
    return Symbolic(dim, key=make_key(0), **options)


def nonlinear() -> Symbolic:
    """With a condition beside it of weight 4."""
    return pde_of(
        2,
        coordinates={"t": [0, 1], "x": [-1, 1]},
        residual="u_t + u*u_x - u_xx - f",
        solution="exp(-t)*sin(x)",
        lift="sin(x)",
        constraint="t",
        conditions=[{"at": {"x": "boundary"}, "residual": "u - exp(-t)*sin(x)", "weight": 4}],
    )


def test_slopes_and_residuals_are_those_of_the_loss(float64: None) -> None:
    pde, units = nonlinear(), Units(loss=jnp.array(2.0), conditions=jnp.array(3.0))
    residual = SampledResidual(pde, Exact())

    def at(guess, points, on_edge):
        field = without_network(pde.constraint, guess, pde.lift)
        within = residual.at(field, points, None) / jnp.sqrt(2.0 * len(points))
        (condition,) = residual.conditions
        beside = condition.at(field, on_edge, key=make_key(0)) * jnp.sqrt(4 / 3 / len(on_edge))
        return jnp.concatenate([within, beside.ravel()])

    @jax.jit
    def both(factors):
        equations = Equations(residual, units, (9, 4), (6, 3), key=make_key(1))
        drawn = Inputs(pde, None, key=make_key(2)).draw(5, key=make_key(3))
        features = drawn.scaled(jnp.ones(2), jnp.ones((5, 2), bool))

        def guess(c) -> RandomFeatures:
            return RandomFeatures(features.weights, features.offsets, c)

        def fitted(c):
            return at(guess(c), *equations.points)

        found = equations.linearised(guess, factors)
        held_out = at(guess(factors), *equations.held_out)
        return found, fitted(factors), held_out, jax.jacfwd(fitted)(factors)

    found, residuals, held_out, slopes = both(jnp.linspace(-1.0, 2.0, 5))
    np.testing.assert_allclose(found.residuals, residuals, rtol=1e-10)
    np.testing.assert_allclose(found.held_out, held_out, rtol=1e-10)
    np.testing.assert_allclose(found.slopes, slopes, rtol=1e-9, atol=1e-12)


def error_at(pde: Symbolic, start: FromRandomFeatures) -> float:
    residual = SampledResidual(pde, Exact())
    found = jax.jit(lambda key: start(residual, 50, key=key))(make_key(4))
    field = without_network(pde.constraint, found.guess, pde.lift)
    x = pde.domain.sample_interior(400, key=make_key(5))
    assert pde.solution is not None
    exact = jax.vmap(pde.solution)(x)
    return float(jnp.linalg.norm(jax.vmap(field)(x) - exact) / jnp.linalg.norm(exact))


def test_few_features_solve_an_equation_that_is_not_linear(float64: None) -> None:
    assert error_at(nonlinear(), FromRandomFeatures(features=80)) < 1e-6


@pytest.mark.slow
def test_how_many_coordinates_belong_together_is_found(float64: None) -> None:
    # One at a time, in as many dimensions as would leave ridges of all nothing to be seen by.
    pde = pde_of(
        10,
        coordinates={"x": {"ball": 1}},
        residual="laplacian(u) - f",
        parameters={"c": [1 + 0.1 * k for k in range(10)]},
        solution="(1 - norm2(x))*sum(i, sin(c[i]*x[i]))",
        constraint="1 - norm2(x)",
    )
    assert error_at(pde, FromRandomFeatures(features=240)) < 1e-5


@pytest.mark.slow
def test_which_coordinates_have_something_in_common_is_found(float64: None) -> None:
    pde = pde_of(
        8,
        coordinates={"x": {"ball": 1}},
        residual="laplacian(u) - f",
        solution="(1 - norm2(x))*(sin(3*x[1]*x[6]) + exp(x[2]*x[8]) + cos(2*x[4] + x[7]))",
        constraint="1 - norm2(x)",
    )
    # Without, 400 features leave 1e-3.
    assert error_at(pde, FromRandomFeatures(features=400)) < 1e-5


def test_couplings_stand_out_of_the_noise_of_a_fit() -> None:
    noise = jax.random.uniform(make_key(6), (7, 7), minval=0.5, maxval=1.0)
    planted = jnp.zeros((7, 7)).at[jnp.array([0, 2]), jnp.array([4, 3])].set(10.0)
    found = above_noise(1e-3 * (noise + noise.T) / 2 + planted + planted.T)
    np.testing.assert_array_equal(found, planted + planted.T > 0)


@pytest.mark.parametrize(
    ("dim", "inner", "of", "features", "error"),
    [
        (20, "exp(norm2(x))", ["norm2(x)"], 40, 1e-8),
        # Found without being told.
        (12, "sin(sum(i, x[i]))", "symmetric", 60, 1e-5),
    ],
)
def test_features_are_of_functions_of_the_point(
    dim: int, inner: str, of: Arguments, features: int, error: float, float64: None
) -> None:
    pde = pde_of(
        dim,
        coordinates={"x": {"ball": 1}},
        residual="laplacian(u) - u**3 - f",
        solution=f"(1 - norm2(x))*{inner}",
        constraint="1 - norm2(x)",
    )
    assert error_at(pde, FromRandomFeatures(of=of, features=features)) < error


def test_features_of_the_unknown_are_refused() -> None:
    residual = SampledResidual(nonlinear(), Exact())
    start = FromRandomFeatures(of=["t", "u"], features=4)
    with pytest.raises(UsageError, match=r"start.of\[1\]: the unknown u cannot be used here"):
        jax.jit(lambda key: start(residual, 5, key=key))(make_key(4))


def test_seconds_say_how_many_features() -> None:
    few, many = (FromRandomFeatures(seconds=s).count() for s in (1.0, 8.0))
    assert many == pytest.approx(2 * few, abs=2)
    assert FromRandomFeatures(seconds=8.0, features=7).count() == 7
