"""Pairs that are planted in a function are found, and nothing else is; lists are what they say."""

from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.ansatz.guess import no_guess
from stde_cli.ansatz.hard_constraint import without_network
from stde_cli.ansatz.partners import Partners, neighbours, of_cliques
from stde_cli.ansatz.windows import WindowPolynomials
from stde_cli.estimators import Exact
from stde_cli.expressions import Layout
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.constraints import Unconstrained
from stde_cli.problem.pdes.symbolic import Symbolic
from stde_cli.system.errors import UsageError
from stde_cli.system.prng import make_key
from stde_cli.training.start import FromLeastSquares
from stde_cli.training.start.interactions import arranged, listed, pairs_of, told
from tests.helpers import filled, point_inside


def planted(name: str, dim: int) -> dict[str, Any]:
    """Cliques of three places, of which the third may not count, and how large the rest is."""
    generator = np.random.default_rng(5)
    shuffled = generator.permutation(dim)
    cliques: list[tuple[int, ...]] = []
    if name in ("path", "path beside low rank"):
        cliques = list(pairwise(shuffled))
    elif name == "graph of degree 3":
        for _ in range(3):
            shuffled = generator.permutation(dim)
            cliques += zip(shuffled[::2], shuffled[1::2], strict=True)
    elif name == "triples":
        cliques = list(zip(shuffled[::3], shuffled[1::3], shuffled[2::3], strict=False))
    rows, factors = np.zeros((3 * dim // 2, 3), int), np.zeros((3 * dim // 2, 3))
    for number, clique in enumerate(cliques):
        rows[number, : len(clique)] = clique
        factors[number, : len(clique)] = generator.uniform(1, 2, len(clique))
    ridge = 1.0 if name == "ridge" else 0.0
    radial = dim / 25 if name == "path beside low rank" else 0.0
    pairs = {tuple(sorted(map(int, p))) for c in cliques for p in combinations(c, 2)}
    return {"rows": rows, "factors": factors, "ridge": ridge, "radial": radial, "pairs": pairs}


STRUCTURES = ["path", "graph of degree 3", "triples", "path beside low rank", "ridge", "nothing"]


@pytest.mark.parametrize("dim", [50, pytest.param(1_000, marks=pytest.mark.slow)])
def test_what_is_planted_is_found(dim: int, float64: None) -> None:
    weights = jnp.asarray(np.random.default_rng(7).standard_normal(dim))
    keys = jax.random.split(make_key(3), 3)
    x = jax.random.normal(keys[0], (4, dim)) / dim**0.5

    @jax.jit
    def search(rows, factors, ridge, radial):
        def field(y):
            one_by_one = jnp.sum(jnp.sin(y) + y**3)
            together = jnp.sum(jnp.sin(1 + jnp.sum(factors * y[rows], axis=1)))
            rest = ridge * jnp.sin(weights @ y) + radial * jnp.sum(y**2) ** 2
            return one_by_one + together + rest

        pairs = pairs_of(field, x, range(dim), key=keys[1])
        return pairs, arranged(pairs, 2, key=keys[2])

    for name in STRUCTURES:
        case = planted(name, dim)
        expected = case.pop("pairs")
        pairs, partners = search(**case)
        found = {tuple(sorted(pair)) for pair in rows_of(pairs.partners)}
        if expected:
            assert pairs.explained > 0.9, name
            # What is dense beside them, and small, may look like more of them.
            assert found == expected or (name == "path beside low rank" and found > expected), name
        else:
            assert pairs.explained < 0.1, name
            assert (pairs.low_rank > 0.9) == (name == "ridge"), name
        taken = [tuple(sorted(pair)) for pair in rows_of(partners.members)]
        assert len(set(taken)) == len(taken), name
        assert set(taken) >= expected, name
        assert holders_of(partners) == set(rows_of(partners.members)), name


def rows_of(table: jax.Array) -> Iterator[tuple[int, int]]:
    for row, others in enumerate(np.asarray(table)):
        yield from ((row, int(other)) for other in others if other < len(table))


def holders_of(partners: Partners) -> set[tuple[int, int]]:
    """(row, other), as they are told from the other's side."""
    count, others = partners.members.shape
    return {
        (int(entry) % count, coordinate)
        for coordinate, entries in enumerate(np.asarray(partners.holders))
        for entry in entries
        if entry < others * count
    }


@pytest.mark.parametrize(
    ("cliques", "others"),
    [([(0, 3), (3, 1, 2), (4, 1)], 2), ([(0, k) for k in range(1, 7)], 1), ([(2,)], 0)],
)
def test_every_clique_is_within_a_row(cliques: list[tuple[int, ...]], others: int) -> None:
    partners = of_cliques(7, cliques)
    assert partners.members.shape == (7, others)
    rows = [{row, *(int(m) for m in held if m < 7)} for row, held in enumerate(partners.members)]
    assert all(any(set(clique) <= row for row in rows) for clique in cliques)
    pairs = [frozenset(pair) for pair in rows_of(partners.members)]
    assert len(set(pairs)) == len(pairs)
    assert holders_of(partners) == set(rows_of(partners.members))


def test_neighbours_in_another_order_are_partners(float64: None) -> None:
    dim, order = 9, np.random.default_rng(2).permutation(9)
    usual, x = neighbours(dim, 2), point_inside(dim)
    plain = filled(lambda: WindowPolynomials(range(dim), window=3, degree=3))

    def renumbered(table: jax.Array, places: int) -> jax.Array:
        """Row order[m] for row m, and every number likewise."""
        numbers = np.array([*order, dim])
        inside = np.asarray(table) < places * dim
        moved = np.asarray(table) // dim * dim + numbers[np.asarray(table) % dim]
        return jnp.asarray(np.where(inside, moved, places * dim)[np.argsort(order)])

    partners = eqx.tree_at(
        lambda p: (p.members, p.holders),
        usual,
        (renumbered(usual.members, 1), renumbered(usual.holders, 2)),
    )
    moved = WindowPolynomials(range(dim), window=3, degree=3, partners=partners)
    moved = eqx.tree_at(lambda p: p.readout, moved, plain.readout[:, np.argsort(order)])
    ours = moved.value_gradient_laplacian(x[np.argsort(order)], range(dim))
    value, gradient, laplacian = plain.value_gradient_laplacian(x, range(dim))
    np.testing.assert_allclose(ours[0], value, rtol=1e-13)
    np.testing.assert_allclose(ours[1], gradient[np.argsort(order)], rtol=1e-12)
    np.testing.assert_allclose(ours[2], laplacian, rtol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("interactions", ["found", [[1, 5], ["x2", "x8"], [3, 6, 4], ["t", 7]]])
def test_a_solution_of_distant_coordinates_is_found(interactions: Any, float64: None) -> None:
    inner = "1 + x1*x5 - 2*x2*x8 + x3*x6 + x4*x6 + t*x7"
    pde = Symbolic(
        9,
        coordinates={"t": [0, 1], "x": {"ball": 1, "count": 8}},
        residual="u_t - laplacian(u) - f",
        solution=f"(1 - norm2(x))*({inner})",
        constraint="1 - norm2(x)",
        key=make_key(0),
    )
    start = FromLeastSquares(degree=2, window=3, rounds=4, iterations=80, interactions=interactions)
    x, exact = pde.domain.sample_interior(30, key=make_key(9)), pde.solution
    assert exact is not None

    def found(key):
        guess = start(SampledResidual(pde, Exact()), 50, key=key).guess
        u = without_network(pde.constraint, guess, pde.lift)
        return jax.vmap(u)(x), jax.vmap(exact)(x)

    ours, theirs = jax.jit(found)(make_key(1))
    np.testing.assert_allclose(ours, theirs, atol=1e-8 * np.abs(theirs).max())


@pytest.mark.parametrize(
    ("count", "options"),
    [
        (3, {"degree": 1, "window": 1, "rounds": 2}),
        pytest.param(
            8, {"degree": 2, "window": 2, "interactions": "found"}, marks=pytest.mark.slow
        ),
    ],
)
def test_what_is_planted_on_a_torus_is_found(
    count: int, options: dict[str, Any], float64: None
) -> None:
    """A constant is not told by Poisson's equation there, and stays zero."""
    far = "" if options["window"] == 1 else " + sum(i, cos(pi*x[i])*sin(pi*x[i+3]))"
    pde = Symbolic(
        count,
        coordinates={"x": {"periodic": [-1, 1], "count": count}},
        residual="laplacian(u) - f",
        solution=f"sum(i, cos(pi*x[i]) - 0.5*sin(pi*x[i])){far}",
        key=make_key(0),
    )
    start = FromLeastSquares(iterations=80, **options)
    x, exact = pde.domain.sample_interior(30, key=make_key(9)), pde.solution
    assert exact is not None

    def found(key):
        begun = start(SampledResidual(pde, Exact()), 50, key=key)
        return begun, jax.vmap(begun.guess)(x), jax.vmap(exact)(x)

    begun, ours, theirs = jax.jit(found)(make_key(1))
    np.testing.assert_allclose(ours, theirs, atol=1e-8 * np.abs(theirs).max())
    # The network is not added as it is drawn.
    assert begun.scale < 1e-7
    if options["window"] > 1:
        assert "pairs of 8 coordinates" in str(told(begun.guess))


LAYOUT = Layout(("t", ("x", 5)))


def test_more_than_a_polynomial_can_be_of_is_refused() -> None:
    assert listed([list(range(1, 21))], Layout((("x", 25),))).members.shape == (25, 19)
    with pytest.raises(UsageError, match=r"start.interactions: 21 coordinates would stand in one"):
        listed([list(range(1, 22))], Layout((("x", 25),)))


@pytest.mark.parametrize(
    ("cliques", "why"),
    [
        ([[1, 6]], r"start.interactions\[0\]\[1\]=6: the coordinates with numbers are 1 to 5"),
        ([[1, 2], ["x9", 2]], r"start.interactions\[1\]\[0\]=x9: is no coordinate; name one"),
        ([["x3", 3]], r"start.interactions\[0\]=\['x3', 3\]: x3 occurs twice"),
    ],
)
def test_coordinates_that_are_not_there_are_refused(
    cliques: list[list[int | str]], why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        listed(cliques, LAYOUT)


def test_what_was_found_is_told() -> None:
    guess = no_guess(Unconstrained())
    assert told(guess) is None

    def of(partners: Partners, *explained: float) -> str | None:
        shares = tuple(map(jnp.asarray, explained))
        partners = eqx.tree_at(lambda p: (p.explained, p.low_rank), partners, shares)
        polynomials = WindowPolynomials(range(9), window=2, degree=2, partners=partners)
        return told(eqx.tree_at(lambda g: g.polynomials, guess, polynomials))

    found = of_cliques(9, [(1, 5), (2, 8)])
    assert of(found, 1.0, 0.2) == "interactions: 2 pairs of 9 coordinates"
    assert of(neighbours(9, 1), 0.9, 0.2) == "interactions: of neighbours"
    instead = "polynomials are of neighbours"
    assert of(neighbours(9, 1), 0.1, 0.0) == f"interactions: no pairs found; {instead}"
    ridge = f"interactions: of all along a few directions; {instead}"
    assert of(neighbours(9, 1), 0.1, 0.9) == ridge
