"""A function of few directions of all coordinates is found as such, and nothing else is."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.ansatz.guess import Guess, no_guess
from stde_cli.ansatz.hard_constraint import without_network
from stde_cli.ansatz.partners import Partners, neighbours
from stde_cli.ansatz.ridge import RidgePolynomials
from stde_cli.estimators import Exact
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.domains import AbstractDomain, Ball, Box, Gaussian
from stde_cli.problem.pdes.symbolic import Symbolic
from stde_cli.system.prng import make_key
from stde_cli.training.start import FromLeastSquares, ridge_fit, told
from stde_cli.training.start.base import Units
from stde_cli.training.start.ridge import ridge_of, spread
from stde_cli.training.start.ridge_fit import RidgeFit

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
    # The ball goes to |w|, along w; what the polynomials are of goes to 1.
    lengths = np.linalg.norm(found, axis=1)
    np.testing.assert_allclose(lengths, 1, atol=0.1)
    np.testing.assert_allclose(ridge.offsets[: len(planted)], 0, atol=0.02)


@pytest.mark.parametrize(
    ("domain", "middle", "reach", "part_beyond"),
    [
        (Ball(DIM, 2.0), 0.0, 2.0, 0.2),
        # Few moves along one direction go far into a corner.
        (Box((-1, 3), copies=DIM), 1.0, 6.0, 0.0),
        (Gaussian(DIM), 0.0, 10.0, 0.2),
    ],
)
def test_points_are_spread_to_the_end_of_the_domain(
    domain: AbstractDomain, middle: float, reach: float, part_beyond: float, float64: None
) -> None:
    weights = np.array([W, V]) / (reach * np.linalg.norm([W, V], axis=1, keepdims=True))
    offsets = jnp.asarray(-middle * weights.sum(axis=1))
    ridge = RidgePolynomials(jnp.asarray(weights), offsets, jnp.zeros((3, 3)))
    x = spread(domain, ridge, 2000, key=make_key(3))
    assert jax.vmap(domain.contains)(x).all()
    stayed, moved = np.abs(jax.vmap(ridge.inside)(x)).reshape(2, 1000, 2)
    assert moved.max() <= 1
    assert np.mean(moved > stayed.max()) > part_beyond
    # Across the directions nothing moves.
    across = np.eye(DIM) - np.linalg.pinv(weights) @ weights
    deviations = [np.std((half - middle) @ across) for half in (x[:1000], x[1000:])]
    np.testing.assert_allclose(*deviations, rtol=0.1)


def test_without_directions_points_stay(float64: None) -> None:
    nothing = RidgePolynomials(jnp.zeros((2, DIM)), jnp.zeros(2), jnp.zeros((3, 3)))
    domain, key = Ball(DIM), make_key(4)
    x = spread(domain, nothing, 100, key=key)
    _, move_key, _ = jax.random.split(key, 3)
    drawn = domain.sample_interior(50, key=jax.random.split(move_key)[0])
    np.testing.assert_array_equal(x[50:], drawn)


@pytest.mark.parametrize(("domain", "dim"), [("ball", 1000), ("box", 1000), ("gaussian", 50)])
def test_hardly_a_point_lies_beyond_the_reach(domain: str, dim: int, float64: None) -> None:
    pde = Symbolic(
        dim,
        coordinates={"x": {domain: {"ball": 1, "box": [-1, 2], "gaussian": 2}[domain]}},
        parameters={"w": jnp.asarray(np.random.default_rng(5).standard_normal(dim)) / 5},
        residual="laplacian(u) - f",
        solution="sin(dot(w, x))",
        key=make_key(0),
    )
    ridge = ridge_of(pde, 1, partners(0.9, dim), key=make_key(1))
    assert ridge is not None
    assert ridge.along == 1
    drawn = spread(pde.domain, ridge, 20_000, key=make_key(2))
    assert jnp.max(jnp.abs(jax.vmap(ridge.inside)(drawn))) <= 1


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


@pytest.mark.parametrize(("most", "error"), [(1_500, 1e-9), (0, 1e-3)], ids=["dense", "rounds"])
def test_a_near_direction_is_made_exact(
    most: int, error: float, monkeypatch: pytest.MonkeyPatch, float64: None
) -> None:
    monkeypatch.setattr(ridge_fit, "_MOST_UNKNOWNS", most)
    dim = 20
    pde = poisson("dot(w, x)**3 + dot(w, x) + 1", dim)
    near = (W[:dim] + 0.1 * V[:dim]) / np.linalg.norm(W[:dim])
    ridge = RidgePolynomials(jnp.array([near, 0 * near]), jnp.zeros(2), jnp.zeros((6, 6)))
    units = Units(jnp.ones(()), jnp.ones(()))
    x, exact = spread(pde.domain, ridge, 100, key=make_key(9)), pde.solution
    assert exact is not None
    fit = RidgeFit(SampledResidual(pde, Exact()), units, rounds=8, points=1000, iterations=40)

    @eqx.filter_jit
    def found(ridge: RidgePolynomials):
        powers, found = fit(jnp.zeros(2), ridge, key=make_key(1))
        guess = Guess(powers, pde.constraint, no_guess(pde.constraint).polynomials, found)
        return found, jax.vmap(without_network(pde.constraint, guess, pde.lift))(x)

    fitted, ours = found(ridge)
    theirs = jax.vmap(exact)(x)
    assert np.linalg.norm(ours - theirs) < error * np.linalg.norm(theirs)
    assert fitted.along == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("inner", "along", "error"), [(ONE, "1 direction", 1e-6), (TWO, "2 directions", 5e-4)]
)
def test_a_solution_of_few_directions_is_fitted(
    inner: str, along: str, error: float, float64: None
) -> None:
    pde = poisson(inner)
    start = FromLeastSquares(interactions="found", directions=2)
    exact = pde.solution
    assert exact is not None
    # No point is drawn where the last of these are.
    out = [r * v / np.linalg.norm(v) for v in (W, V) for r in (-0.6, 0.5, 0.9)]
    x = jnp.concatenate([pde.domain.sample_interior(100, key=make_key(9)), jnp.array(out)])

    def found(key):
        guess = start(SampledResidual(pde, Exact()), 50, key=key).guess
        return guess, jax.vmap(without_network(pde.constraint, guess, pde.lift))(x)

    guess, ours = jax.jit(found)(make_key(1))
    assert told(guess) == f"interactions: of all along {along}; polynomials are of these"
    theirs = jax.vmap(exact)(x)
    for of in (slice(100), slice(100, None)):
        assert np.linalg.norm(ours[of] - theirs[of]) < error * np.linalg.norm(theirs[of])
