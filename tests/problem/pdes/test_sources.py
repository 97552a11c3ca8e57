import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.problem.pdes import AllenCahn, ThreeBody, TwoBody, solutions
from stde_cli.system.prng import make_key
from tests.helpers import (
    EQUATIONS,
    filled,
    laplacian,
    point_inside,
    random_pde,
    relative_difference,
)


def two_body(x, c):
    a, b = x[:-1], x[1:]
    return jnp.sum(c * jnp.sin(a + jnp.cos(b) + b * jnp.cos(a)))


def three_body(x, c):
    return jnp.sum(c * jnp.exp(x[:-2] * x[1:-1] * x[2:]))


SUMS = {TwoBody: two_body, ThreeBody: three_body}
LEFT_HAND_SIDES = {
    "Poisson": lambda u, laplacian: laplacian,
    "AllenCahn": lambda u, laplacian: laplacian + u - u**3,
    "SineGordon": lambda u, laplacian: laplacian + jnp.sin(u),
}


@pytest.mark.parametrize("radius", [1.0, 1.7])
@pytest.mark.parametrize("dim", [3, 4, 10, 61])
@pytest.mark.parametrize("solution", SUMS)
def test_sources_against_nested_derivatives_of_the_solution(float64, solution, dim, radius):
    """The solutions and the equations are those of [STDE] appendix I.1, written out above."""
    pdes = [
        filled(lambda e=e: random_pde(dim, e, solution, radius=radius), scale=1) for e in EQUATIONS
    ]
    c = pdes[0].solution.coefficients

    def formula(x):
        return (radius**2 - x @ x) * SUMS[solution](x, c)

    def both(x):
        u, second = formula(x), laplacian(formula, x)
        expected = [LEFT_HAND_SIDES[type(pde).__name__](u, second) for pde in pdes]
        return ([pde.solution(x) for pde in pdes], [pde.source(x) for pde in pdes]), (
            [u] * len(pdes),
            expected,
        )

    points = jnp.stack(
        [point_inside(dim, seed=seed, length=0.3 * radius * seed) for seed in (1, 2, 3)]
    )
    (solutions, sources), (values, expected) = jax.jit(jax.vmap(both))(points)
    np.testing.assert_allclose(solutions, values, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(sources, expected, rtol=1e-10, atol=1e-11)
    for pde, u, source in zip(pdes, solutions, sources, strict=True):
        # `lhs` says the same as the formulas, given the derivatives.
        second = pdes[0].source(points[0])
        np.testing.assert_allclose(pde.lhs(points[0], u[0], {"laplacian": second}), source[0])
        np.testing.assert_allclose(
            pde.residual(points[0], u[0], {"laplacian": second}), 0, atol=1e-11
        )


@pytest.mark.parametrize("radius", [1.0, 1.7])
@pytest.mark.parametrize("dim", [3, 61, 5000])
@pytest.mark.parametrize("solution", SUMS)
def test_solutions_vanish_on_the_sphere(float64, solution, dim, radius):
    pde = filled(lambda: random_pde(dim, EQUATIONS[0], solution, radius=radius), scale=1)
    points = jnp.stack([point_inside(dim, seed=seed, length=radius) for seed in range(5)])
    values = jax.jit(jax.vmap(pde.solution))(points)
    scale = jnp.sum(jnp.abs(pde.solution.coefficients))
    assert jnp.max(jnp.abs(values)) < 1e-14 * scale
    assert jnp.max(jnp.abs(jax.vmap(pde.constraint)(points))) < 1e-14


# One block of windows, one more, several whole ones, and the paper's kind of dimension.
@pytest.mark.parametrize("dim", [2049, 2050, 2051, 4097, 4098, 4099, 4100])
@pytest.mark.parametrize("solution", SUMS)
def test_streamed_sums_are_the_sums(float64, solution, dim):
    pde = filled(lambda: random_pde(dim, EQUATIONS[0], solution), scale=1)
    c, x = pde.solution.coefficients, point_inside(dim)

    def unstreamed(x):
        columns = [x[k : k + c.size] for k in range(pde.solution.window)]
        term, radial, second = (jnp.sum(c * part) for part in pde.solution.terms(columns))
        distance = 1 - jnp.sum(x**2)
        return distance * term, -2 * dim * term - 4 * radial + distance * second

    ours, theirs = jax.jit(lambda x: (pde.solution.value_and_laplacian(x), unstreamed(x)))(x)
    np.testing.assert_allclose(ours, theirs, rtol=1e-11)
    np.testing.assert_allclose(ours[0], (1 - x @ x) * SUMS[solution](x, c), rtol=1e-11)


@pytest.mark.parametrize("dim", [4, 11])
@pytest.mark.parametrize("solution", SUMS)
def test_derivatives_of_the_source(float64, solution, dim, monkeypatch):
    """Gradients, in every mode, and those by the coefficients, in one block and in several."""
    monkeypatch.setattr(solutions, "_BLOCK", 4)
    pde = filled(lambda: random_pde(dim, AllenCahn, solution), scale=1)
    x = point_inside(dim)

    def formula(c, x):
        def u(x):
            return (1 - x @ x) * SUMS[solution](x, c)

        return laplacian(u, x) + u(x) - u(x) ** 3

    def source(c, x):
        return eqx.tree_at(lambda p: p.solution.coefficients, pde, c).source(x)

    def derivatives(f):
        arguments = pde.solution.coefficients, x
        by_both = jax.grad(f, argnums=(0, 1))(*arguments)
        along = jax.jvp(f, arguments, arguments)[1]
        return *by_both, along, jax.hessian(f, argnums=1)(*arguments)

    ours, theirs = jax.jit(lambda: (derivatives(source), derivatives(formula)))()
    for actual, expected in zip(ours, theirs, strict=True):
        assert relative_difference(actual, expected) < 1e-10


@pytest.mark.parametrize("dim", [10, 1000, 20_000])
@pytest.mark.parametrize("solution", SUMS)
@pytest.mark.parametrize("equation", EQUATIONS)
def test_single_precision_is_enough(float64, equation, solution, dim):
    pde = filled(lambda: random_pde(dim, equation, solution), scale=1)
    points = jnp.stack([point_inside(dim, seed=s, length=0.09 * s) for s in range(10)])
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), (pde, points))
    # The same rounded coefficients and points, computed with in double precision.
    double = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), single)

    def sources(pde, points):
        return jax.vmap(pde.source)(points)

    ours, exact = (np.asarray(jax.jit(sources)(*arguments)) for arguments in (single, double))
    assert ours.dtype == np.float32
    assert np.linalg.norm(ours - exact) < 1e-4 * np.linalg.norm(exact)


@pytest.mark.parametrize("solution", SUMS)
def test_coefficients_are_drawn_once_a_problem(solution):
    first, again, other = (solution(50, key=make_key(seed)).coefficients for seed in (1, 1, 2))
    assert first.shape == (51 - solution.window,)
    assert (first == again).all()
    assert (first != other).any()


def test_the_domain_of_a_problem_is_its_ball():
    pde = random_pde(7, radius=1.7)
    inside = pde.domain.sample_interior(500, key=make_key(0))
    lengths = np.linalg.norm(inside, axis=1)
    assert inside.shape == (500, 7)
    assert lengths.max() <= 1.7 * (1 + 1e-6)
    # The radius is uniform: its mean lies within four standard errors of the middle.
    assert abs(lengths.mean() - 0.85) < 4 * 1.7 / np.sqrt(12 * 500)
    assert np.abs(inside.mean(axis=0)).max() < 4 * inside.std(axis=0).max() / np.sqrt(500)
    boundary = np.linalg.norm(pde.domain.sample_boundary(500, key=make_key(0)), axis=1)
    np.testing.assert_allclose(boundary, 1.7, rtol=1e-6)
