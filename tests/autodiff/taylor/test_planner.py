"""Plans are proved, not sampled: readings times contents must be one derivative, in rationals."""

from fractions import Fraction
from itertools import product
from math import comb, perm, prod
from typing import get_args

import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import jet

from stde_cli.autodiff.taylor import elimination, planner
from stde_cli.autodiff.taylor.partitions import expand, multiplicity, partitions
from stde_cli.autodiff.taylor.planner import Family, plan
from stde_cli.autodiff.taylor.pushes import Plan, Push, partitions_onto

FAMILIES: tuple[Family, ...] = get_args(Family)
T, X, Y = (1, 0, 0), (0, 1, 0), (0, 0, 1)
KDV = ((1, 0, 1), (0, 3, 1), (0, 1, 1), X, Y, (0, 2, 0), (0, 0, 2))

SMALL = [q for q in product(range(7), repeat=3) if 1 <= sum(q) <= 6]
EIGHTH = [(8, 0, 0), (4, 4, 0), (3, 3, 2), (5, 2, 1), (2, 2, 2, 2), (7, 1, 0), (1, 1, 6)]


def derivative(name: str) -> tuple[int, ...]:
    """u_xxy -> (0, 2, 1), over (t, x, y)."""
    return tuple(name.count(letter) for letter in "txy")


def univariate(order: int, **tangents: tuple[int, ...]) -> Push:
    """univariate(5, v2=X, v3=Y)."""
    seeds = tuple(((int(name[1:]),), vector) for name, vector in tangents.items())
    return Push(seeds, tuple((k,) for k in range(1, order + 1)))


def multivariate(*top: int) -> Push:
    """Unknowns t, x, y ... up to the multi-index `top`."""
    units = [tuple(int(i == t) for i in range(len(top))) for t in range(len(top))]
    indices = [index for index in product(*(range(n + 1) for n in top)) if any(index)]
    ordered = sorted(indices, key=lambda index: (sum(index), index))
    return Push(tuple(zip(units, units, strict=True)), tuple(ordered))


def prove(plan: Plan, derivatives) -> None:
    """Each reading, applied to the contents, leaves its derivative once and nothing else."""
    assert tuple(reading.derivative for reading in plan.readings) == tuple(derivatives)
    contents = [push.contents() for push in plan.pushes]
    for reading in plan.readings:
        total: dict = {}
        for fraction, number, index in reading.terms:
            assert isinstance(fraction, Fraction)
            for key, factor in contents[number][index].items():
                total[key] = total.get(key, 0) + fraction * factor
        assert {key: value for key, value in total.items() if value} == {reading.derivative: 1}
    used = {number for reading in plan.readings for _, number, _ in reading.terms}
    assert used == set(range(len(plan.pushes)))


# Partitions.


def test_partitions_are_counted_by_the_partition_numbers():
    parts = [(k,) for k in range(1, 11)]
    counts = [sum(1 for _ in partitions((n,), parts[:n])) for n in range(11)]
    assert counts == [1, 1, 2, 3, 5, 7, 11, 15, 22, 30, 42]


def test_multiplicities_add_up_to_the_bell_numbers():
    for n, bell in enumerate([1, 2, 5, 15, 52, 203, 877, 4140], start=1):
        parts = [(k,) for k in range(1, n + 1)]
        assert sum(multiplicity(parts, counts) for counts in partitions((n,), parts)) == bell


@pytest.mark.parametrize(("whole", "bell"), [((2, 1), 5), ((1, 1, 1), 5), ((2, 2), 15)])
def test_multiplicities_in_several_unknowns_too(whole, bell):
    parts = [p for p in product(*(range(n + 1) for n in whole)) if any(p)]
    assert sum(multiplicity(parts, counts) for counts in partitions(whole, parts)) == bell


def test_expand_is_the_binomial_formula():
    assert expand([(1, 1)], [5]) == {(k, 5 - k): comb(5, k) for k in range(6)}
    assert expand([(1, 1), (1, -1)], [1, 1]) == {(2, 0): 1, (0, 2): -1}


# Contents, against jax.


def field(z):
    return jnp.exp(0.3 * z[0]) * jnp.sin(z[1] - 0.4 * z[2] + 0.2) + (z[0] + z[2]) ** 3 * z[1] ** 2


POINT = np.array([0.3, -0.4, 0.7])


def partial(q) -> float:
    """A partial of `field` at POINT, by hand: the sine is the imaginary part of an exponential."""
    slopes, (_, y, _), both = np.array([0.3, 1j, -0.4j]), POINT, q[0] + q[2]
    wave = np.prod(slopes ** np.array(q)) * np.exp(slopes @ POINT + 0.2j)
    cube = perm(3, both) * (POINT[0] + POINT[2]) ** max(3 - both, 0)
    return wave.imag + cube * perm(2, q[1]) * y ** max(2 - q[1], 0)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "push",
    [
        univariate(5, v2=X, v3=Y),
        univariate(7, v1=X, v2=(0, 0, -2)),
        univariate(6, v1=(1, 2, -1)),
        univariate(6, v1=(1, 0, 1), v2=(0, 1, -1), v4=X),
        univariate(7, v3=X, v4=Y, v7=T),
    ],
)
def test_contents_are_what_jet_computes(push):
    seeds = dict(push.seeds)
    series = [jnp.array(seeds.get(index, (0, 0, 0)), float) for index in push.indices]
    _, coefficients = jet.jet(field, (jnp.asarray(POINT),), (series,))
    rows = push.contents().values()
    partials = {q: partial(q) for q in set().union(*rows)}
    ours = [sum(factor * partials[q] for q, factor in row.items()) for row in rows]
    np.testing.assert_allclose(ours, np.asarray(coefficients), rtol=1e-10, atol=1e-10)


def test_multivariate_coefficients_are_the_partials():
    contents = multivariate(2, 1, 3).contents()
    assert contents == {index: {index: 1} for index in contents}
    skew = Push((((1, 0), (1, 1)), ((0, 1), (1, -1))), ((0, 1), (1, 0), (1, 1)))
    assert skew.contents()[1, 1] == {(2, 0): 1, (0, 2): -1}


# The published read-offs for the 2-D KdV equation ([STDE], appendix), checked.


@pytest.mark.parametrize(
    ("push", "index", "contents"),
    [
        # Printed: c6, c7/35, c11/330, c13/200200 and, in the 9-jet, c9/840.
        (univariate(13, v3=X, v4=Y, v7=T), 6, {"xx": 10}),
        (univariate(13, v3=X, v4=Y, v7=T), 7, {"xy": 35, "t": 1}),
        (univariate(13, v3=X, v4=Y, v7=T), 11, {"ty": 330, "xyy": 5775}),
        (univariate(13, v3=X, v4=Y, v7=T), 13, {"xxxy": 200200, "xxt": 17160}),
        (univariate(9, v2=X, v3=Y), 9, {"xxxy": 1260, "yyy": 280}),
        # Printed right.
        (univariate(13, v3=X, v4=Y, v7=T), 3, {"x": 1}),
        (univariate(13, v3=X, v4=Y, v7=T), 4, {"y": 1}),
        (univariate(13, v3=X, v4=Y, v7=T), 8, {"yy": 35}),
        (univariate(7, v2=X, v3=Y), 7, {"xxy": 105}),
        (univariate(7, v2=X, v3=Y), 4, {"xx": 3}),
        (univariate(5, v2=X, v3=Y), 5, {"xy": 10}),
        (univariate(5, v1=X, v3=Y), 5, {"xxy": 10, "xxxxx": 1}),
    ],
)
def test_published_read_offs(push, index, contents):
    ours = {derivative(name): factor for name, factor in contents.items()}
    assert push.contents()[index,] == ours


def test_partitions_are_listed():
    push = univariate(13, v3=X, v4=Y, v7=T)
    assert partitions_onto(push, (13,)) == [
        (((3,), (3,), (3,), (4,)), 200200, derivative("xxxy")),
        (((3,), (3,), (7,)), 17160, derivative("xxt")),
    ]


# Plans.


@pytest.mark.parametrize(
    ("q", "family"),
    [
        # The search over positions takes seconds at order 8.
        pytest.param(q, f, marks=[pytest.mark.slow] if q in EIGHTH and f == "positions" else [])
        for q in SMALL + EIGHTH
        for f in FAMILIES
    ],
    ids=str,
)
def test_every_partial_has_a_proved_plan_in_every_family(q, family):
    prove(plan([q], families=[family]), [q])


def test_polarisation_finds_the_four_directions_of_u_xxxy():
    found = plan([(0, 3, 1)], families=["polarisation"])
    directions = {push.seeds[0][1]: number for number, push in enumerate(found.pushes)}
    fractions = {number: fraction for fraction, number, _ in found.readings[0].terms}
    assert {v: 48 * fractions[number] for v, number in directions.items()} == {
        (0, 2, 1): 1,
        (0, 2, -1): -1,
        (0, 1, 1): -2,
        (0, 1, -1): 2,
    }


def test_pure_jets_already_there_are_used():
    wanted = [(1, 0, 1), (2, 0, 0), (0, 0, 2)]
    found = plan(wanted, families=["polarisation"])
    prove(found, wanted)
    assert sum(len(push.indices) for push in found.pushes) == 6  # t, y and one of t + y, t - y.


@pytest.mark.parametrize("wanted", [KDV, ((1, 1, 0), (0, 4, 0), (0, 1, 0), (0, 0, 2))])
def test_a_joint_plan_costs_no_more_than_its_rivals(wanted):
    joint = plan(wanted)
    prove(joint, wanted)
    for family in FAMILIES:
        rival = plan(wanted, families=[family])
        prove(rival, wanted)
        assert joint.cost <= rival.cost
        assert rival.cost <= sum(plan([q], families=[family]).cost for q in wanted)
    assert joint.cost <= sum(plan([q]).cost for q in wanted)


def test_the_multivariate_push_of_kdv_holds_ten_coefficients():
    (push,) = plan(KDV, families=["multivariate"]).pushes
    assert len(push.indices) == 10
    assert all(sum(push.contents()[index].values()) == 1 for index in push.indices)


def test_same_input_same_plan():
    first = plan(KDV)
    rivals = [plan(KDV, families=[family]) for family in FAMILIES]
    planner._plan.cache_clear()
    planner._positions.cache_clear()
    planner._symmetric.cache_clear()
    assert plan(list(KDV)) == first
    assert [plan(KDV, families=[family]) for family in FAMILIES] == rivals
    assert hash(first) == hash(plan(KDV))


def beside(copies: int, *wanted: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The same derivatives in as many groups of coordinates, by turns."""
    width = len(wanted[0])
    pads = [((0,) * width * i, (0,) * width * (copies - 1 - i)) for i in range(copies)]
    return [before + d + after for d in wanted for before, after in pads]


@pytest.mark.parametrize("family", [None, *FAMILIES], ids=str)
def test_what_shares_no_coordinate_is_planned_apart(family):
    families = FAMILIES if family is None else [family]
    wanted = beside(3, *KDV)
    found = plan(wanted, families=families)
    prove(found, wanted)
    one = plan(KDV, families=families)
    assert len(found.pushes) == 3 * len(one.pushes)
    assert found.cost == pytest.approx(3 * one.cost)
    # A derivative across two groups joins them, whatever the order.
    across = [(1, 1, 0, 0), (0, 0, 1, 1), (0, 1, 1, 0), (0, 0, 0, 2), (2, 0, 0, 0)]
    for order in (across, across[::-1]):
        prove(plan(order, families=families), order)


def test_the_search_grows_as_the_coordinates_do(monkeypatch):
    """Pushes looked through, for a Laplacian over coordinates with a name each."""
    looked, rows = [], elimination.rows_on
    monkeypatch.setattr(elimination, "rows_on", lambda p, d: looked.append(len(p)) or rows(p, d))

    def pushes_for(coordinates: int) -> int:
        looked.clear()
        planner._plan.cache_clear()
        assert len(plan(beside(coordinates, (2,))).pushes) == coordinates
        return sum(looked)

    assert 0 < pushes_for(40) == 2 * pushes_for(20)


def test_wide_partials_are_not_searched():
    (push,) = plan([(2, 2, 1, 1, 1, 1)]).pushes
    assert len(push.indices) == prod((3, 3, 2, 2, 2, 2)) - 1


# Cost.


def count_products(indices) -> int:
    """The definition: delta^n by truncated products, halved for n = 2; one a derivative f^(n)."""
    total, kept = 0, set(indices)
    for n in range(2, max(map(sum, indices)) + 1):
        pairs = {
            (a, b) if n > 2 else tuple(sorted((a, b)))
            for a, b in product(indices, repeat=2)
            if sum(a) >= n - 1 and tuple(map(sum, zip(a, b, strict=True))) in kept
        }
        total += len(pairs)
    return total + sum(map(sum, indices))


@pytest.mark.parametrize(
    "push",
    [univariate(1, v1=X), univariate(6, v1=X), univariate(9, v2=X, v3=Y)]
    + [multivariate(*top) for top in [(1, 1), (3, 1), (2, 2, 2)]],
)
def test_products_are_counted_exactly(push):
    assert push.products == count_products(push.indices)


# Errors.


@pytest.mark.parametrize(
    ("derivatives", "families", "message"),
    [
        ([], FAMILIES, "at least one multi-index"),
        ([(7, 6)], FAMILIES, "order 13"),
        ([(0, 0)], FAMILIES, "leave u itself out"),
        ([(1, -1)], FAMILIES, "0 or more"),
        ([(1, 0), (1, 0, 0)], FAMILIES, "one count a coordinate"),
        ([(1, 0)], [], "one or more of"),
    ],
)
def test_errors_name_the_mend(derivatives, families, message):
    with pytest.raises(ValueError, match=message):
        plan(derivatives, families)
