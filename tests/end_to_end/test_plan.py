"""`stde plan`, in this process but for what only another can show."""

import json
from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.autodiff.taylor import precision
from stde_cli.autodiff.taylor.planner import FAMILIES
from stde_cli.autodiff.taylor.pushes import Plan, Push, Reading
from stde_cli.cli.main import main
from stde_cli.expressions import Layout
from stde_cli.jobs.plans import named
from tests.end_to_end.command import stde

KDV = "u_ty + u_xxxy + 3*(u_xy*u_x + u_y*u_xx) - u_xx + 2*u_yy"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """The status, standard output and standard error of `stde plan`."""

    def plan(*arguments: str) -> tuple[int, str, str]:
        status = main(["plan", *arguments])
        out, err = capsys.readouterr()
        return status, out, err

    return plan


def prove(found: dict) -> None:
    """Every reading, applied to what the pushes hold, leaves its derivative and nothing else."""
    pushes = [
        Push(
            tuple((tuple(seed["index"]), tuple(seed["vector"])) for seed in push["seeds"]),
            tuple(map(tuple, push["indices"])),
        )
        for push in found["plan"]["pushes"]
    ]
    for reading in found["plan"]["readings"]:
        total: dict = {}
        listed: dict = {}
        for term in reading["terms"]:
            row = pushes[term["push"]].contents()[tuple(term["index"])]
            for q, factor in row.items():
                total[q] = total.get(q, 0) + Fraction(term["fraction"]) * factor
            for one in term["lands"]:
                value = Fraction(term["fraction"]) * one["prefactor"]
                listed[one["derivative"]] = listed.get(one["derivative"], 0) + value
        assert {q: v for q, v in total.items() if v} == {tuple(reading["index"]): 1}
        assert {q: v for q, v in listed.items() if v} == {reading["derivative"]: 1}


def test_the_kdv_residual_is_one_polynomial(run) -> None:
    status, out, err = run(KDV)
    assert (status, err) == (0, "")
    assert "coordinates t, x, y" in out
    assert "polynomial in t, x, y: coefficients y, x, t, yy, xy, xx, ty, xxy, xxx, xxxy" in out
    assert "u_xxxy      A_xxxy" in out
    assert "warning" not in out
    assert "\x1b" not in out


@pytest.mark.parametrize("families", ["", *FAMILIES])
def test_json_holds_a_proof(families: str, run) -> None:
    arguments = ("--families", families) if families else ()
    status, out, _ = run(KDV, "--json", *arguments)
    found = json.loads(out)
    prove(found)
    names = [reading["derivative"] for reading in found["plan"]["readings"]]
    assert status == 0
    assert names == ["u_ty", "u_xxxy", "u_xy", "u_x", "u_y", "u_xx", "u_yy"]
    costs = {family: found["alternatives"][family]["cost"] for family in FAMILIES}
    assert found["plan"]["cost"] == (costs[families] if families else min(costs.values()))
    assert found["plan"]["cost"] == pytest.approx(sum(p["cost"] for p in found["plan"]["pushes"]))
    assert 0 < found["plan"]["relative_error"]["float64"] < 1e-13
    assert 1e-9 < found["plan"]["relative_error"]["float32"] < 1e-4


@pytest.mark.parametrize(
    ("family", "push", "reading"),
    [
        ("positions", "5-jet, v1 = x, v2 = -y", "(B5 - A5)/20"),
        ("polarisation", "4-jet along 2x - y", "(2 A4 + D4 - 2 B4 - C4)/48"),
        ("multivariate", "polynomial in x, y: coefficients y, x,", "A_xxxy"),
    ],
)
def test_a_partial_by_each_family(family: str, push: str, reading: str, run) -> None:
    status, out, _ = run("u_xxxy", "--families", family)
    assert status == 0
    assert push in out
    assert f"u_xxxy      {reading} " in out
    if family == "positions":
        assert "-10 u_xxxy" in out
        assert "1+1+1+2" in out


def test_what_shares_a_coefficient_is_subtracted(run) -> None:
    """In the 9-jet with v2 = x, v3 = y of the paper, u_yyy lands where u_xxxy does."""
    seeds = (((2,), (1, 0)), ((3,), (0, 1)))
    nine = Push(seeds, tuple((k,) for k in range(1, 10)))
    three = Push((((1,), (0, 1)),), ((1,), (2,), (3,)))
    terms = ((Fraction(1, 1260), 0, (9,)), (Fraction(-2, 9), 1, (3,)))
    chosen = Plan((nine, three), (Reading((3, 1), terms),))
    found = named.NamedPlan(Layout(("x", "y")), [0, 1], chosen).reading(chosen.readings[0])
    assert found["by_subtraction"] == "(A9 - 280 u_yyy)/1260"
    assert found["text"] == "(A9 - 280 B3)/1260"


def test_sampled_operators_are_told_in_words(run) -> None:
    status, out, _ = run("-laplacian(u) + biharmonic(u) + sum(i, partial(u, x[i], x[i], x[i]))")
    assert status == 0
    assert "coordinates x1..x10" in out
    assert "r + 2 coefficients" in out
    assert "coefficient (2,2) read" in out
    assert "each a 3-jet" in out
    assert "Pushes" not in out


def test_over_named_coordinates_a_laplacian_is_planned(run) -> None:
    found = json.loads(run("u_t - laplacian(u)", "--coordinates", "t,x,y", "--json")[1])
    names = [reading["derivative"] for reading in found["plan"]["readings"]]
    assert names == ["u_t", "u_xx", "u_yy"]
    assert found["sampled"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["u_xx +* 2"], "^"),
        (["u_xx + alpha"], "the name alpha is not known"),
        (["u_x", "--families", "positions,none"], "--families=none: no such family"),
        (["u_" + "x" * 13], "of order 13; plans are made up to order 12"),
        (["x*y + u"], "no derivative of u"),
        (["  "], "empty"),
        (["u_z", "--coordinates", "x,y"], "u_z is no partial derivative"),
        (["u_x", "--coordinates", "x,x"], "twice"),
        ([], "EXPR"),
    ],
)
def test_faults_are_told_in_a_line(arguments: list[str], said: str, run) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("stde: ")
    assert said in err


def test_a_plan_that_rounds_badly_is_warned_of(run, monkeypatch: pytest.MonkeyPatch) -> None:
    """No plan up to order 12 is found this bad: the errors are made up."""
    errors = {"float32": {(4, 4): 0.3}, "float64": {(4, 4): 1e-9}}
    monkeypatch.setattr(named, "relative_errors", lambda plan: errors)
    _, out, _ = run("u_xxxxyyyy", "--families", "positions")
    assert "warning: expected relative error 3e-01 at float32; set runtime.precision=float64" in out
    assert "u_xxxxyyyy" in out


def test_into_a_pipe_lines_are_whole_and_plain(tmp_path: Path) -> None:
    out = stde("plan", "u_xxxxxxxxxxyy", "--families", "polarisation", cwd=tmp_path).check().out
    assert "\x1b" not in out
    assert "…" not in out
    assert max(map(len, out.splitlines())) > 120
    assert all(line == line.rstrip() for line in out.splitlines())


def test_the_reference_agrees_with_nested_derivatives(float64: None) -> None:
    weights, points = precision.probe(3)
    layers = [jnp.asarray(weight) for weight in weights]

    def network(x: jax.Array) -> jax.Array:
        for weight in layers[:-1]:
            x = jnp.tanh(weight @ x)
        return (layers[-1] @ x)[0]

    def along(field, vector: jax.Array):
        return lambda x: jax.jvp(field, (x,), (vector,))[1]

    for derivative in ((1, 0, 0), (0, 3, 1), (2, 1, 1)):
        field = network
        for k, count in enumerate(derivative):
            for _ in range(count):
                field = along(field, jnp.eye(3)[k])
        expected = jax.vmap(field)(jnp.asarray(points))
        found = precision.reference(weights, points, derivative)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)
