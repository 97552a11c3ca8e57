"""A function of few directions of all coordinates is found as such, and nothing else is."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.ansatz.hard_constraint import without_network
from stde_cli.ansatz.partners import Partners, neighbours
from stde_cli.estimators import Exact
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.pdes.symbolic import Symbolic
from stde_cli.system.prng import make_key
from stde_cli.training.start import FromLeastSquares, told
from stde_cli.training.start.ridge import ridge_of

DIM = 50
W, V = (np.random.default_rng(k).standard_normal(DIM) for k in (1, 2))
ONE, TWO = "sin(dot(w, x))", "sin(dot(w, x))*cos(dot(v, x)) + dot(v, x)"


def poisson(inner: str, dim: int = DIM) -> Symbolic:
    return Symbolic(
        dim,
        coordinates={"x": {"ball": 1}},
        parameters={"w": jnp.asarray(W[:dim]), "v": jnp.asarray(V[:dim])},
        residual="laplacian(u) - f",
        solution=f"(1 - norm2(x))*({inner})",
        constraint="1 - norm2(x)",
        key=make_key(0),
    )


def partners(low_rank: float, dim: int = DIM) -> Partners:
    """As they are where no pairs are found, and this part of what couples is of low rank."""
    shares = jnp.zeros(()), jnp.asarray(low_rank)
    return eqx.tree_at(lambda p: (p.explained, p.low_rank), neighbours(dim, 2), shares)


@pytest.mark.parametrize(
    ("inner", "low_rank", "planted"),
    [
        (ONE, 0.9, [W]),
        (TWO, 0.9, [W, V]),
        (ONE, 0.3, []),
        # Of low rank at each point, along another direction.
        ("exp(norm2(x))", 0.9, []),
        ("sum(i, w[i]*x[i]**2)", 0.9, []),
    ],
)
def test_directions_are_found(
    inner: str, low_rank: float, planted: list[np.ndarray], float64: None
) -> None:
    pde = poisson(inner)
    ridge = ridge_of(pde, 2, partners(low_rank), key=make_key(1))
    assert ridge is not None
    assert ridge.along == len(planted)
    found = np.asarray(ridge.weights)[: len(planted)]
    for direction in planted:
        left = direction - found.T @ np.linalg.lstsq(found.T, direction)[0]
        assert np.linalg.norm(left) < 0.1 * np.linalg.norm(direction)
    # What the polynomials are of has mean 0 and deviation 1.
    x = pde.domain.sample_interior(2000, key=make_key(2))
    s = np.asarray(x @ ridge.weights.T + ridge.offsets)[:, : len(planted)]
    np.testing.assert_allclose(np.std(s, axis=0), 1, atol=0.1)
    np.testing.assert_allclose(np.mean(s, axis=0), 0, atol=0.3)


@pytest.mark.parametrize("seed", range(4))
def test_a_function_of_more_is_taken_for_no_ridge(seed: int, float64: None) -> None:
    # Two of four directions have half of what there is, whatever it is.
    assert ridge_of(poisson("exp(norm2(x))", 4), 2, partners(0.9, 4), key=make_key(seed)) is None
    beside = poisson("exp(norm2(x) + 3*x[1])")
    ridge = ridge_of(beside, 2, partners(0.9), key=make_key(seed))
    assert ridge is not None
    assert ridge.along == 0


def test_none_is_looked_for_beside_time_and_on_circles() -> None:
    for coordinates in ({"t": [0, 1], "x": {"ball": 1}}, {"x": {"periodic": [0, 1], "count": 9}}):
        pde = Symbolic(
            10 if "t" in coordinates else 9,
            coordinates=coordinates,
            residual="laplacian(u) - u - 1",
            key=make_key(0),
        )
        assert ridge_of(pde, 2, partners(0.9), key=make_key(1)) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("inner", "along", "error"), [(ONE, "1 direction", 1e-6), (TWO, "2 directions", 3e-2)]
)
def test_a_solution_of_few_directions_is_fitted(
    inner: str, along: str, error: float, float64: None
) -> None:
    pde = poisson(inner)
    start = FromLeastSquares(interactions="found", directions=2)
    x, exact = pde.domain.sample_interior(100, key=make_key(9)), pde.solution
    assert exact is not None

    def found(key):
        guess = start(SampledResidual(pde, Exact()), 50, key=key).guess
        return guess, jax.vmap(without_network(pde.constraint, guess, pde.lift))(x)

    guess, ours = jax.jit(found)(make_key(1))
    assert told(guess) == f"interactions: of all along {along}; polynomials are of these"
    theirs = jax.vmap(exact)(x)
    assert np.linalg.norm(ours - theirs) < error * np.linalg.norm(theirs)
