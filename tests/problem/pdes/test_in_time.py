"""What a YAML file says of time: what holds at its ends, and what is refused."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.ansatz.hard_constraint import HardConstraint
from stde_cli.autodiff.directions import Stratified
from stde_cli.estimators import STDE
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.domains import Diffusion, GeometricBrownian
from stde_cli.problem.pdes.symbolic import Symbolic
from stde_cli.system.errors import UsageError
from stde_cli.system.prng import make_key
from tests.helpers import random_network

DIM = 3
COORDINATES: dict[str, Any] = {"t": [0.2, 0.7], "x": {"box": [-1, 1]}}
PARAMETERS: dict[str, Any] = {"c": [1.0, 0.5, 1.0], "w": [1.0, 2.0], "A": np.eye(3)}


def in_time(**options: Any) -> Symbolic:
    given = {"coordinates": COORDINATES, "parameters": PARAMETERS, "residual": "u_t - laplacian(u)"}
    return Symbolic(DIM, key=make_key(0), **given | options)


def g(x: jax.Array) -> jax.Array:
    return jnp.sin(jnp.sum(x[1:] ** 2))


@pytest.mark.parametrize(("key", "end"), [("initial", 0.2), ("terminal", 0.7)])
def test_hard_values_hold_at_their_end_and_nowhere_else(
    key: str, end: float, float64: None
) -> None:
    # Written as a function of t as well, such as a solution: at that end it is g.
    pde = in_time(**{key: f"sin(norm2(x))*exp(t - {end})"}, constraint="2 + x1")
    u = HardConstraint(random_network(DIM + 1), pde.constraint, lift=pde.lift)
    x = pde.domain.sample_interior(8, key=make_key(1))
    at_end = x.at[:, 0].set(end)
    np.testing.assert_allclose(jax.vmap(u)(at_end), jax.vmap(g)(at_end), rtol=1e-12)
    factor = np.abs(x[:, 0] - end) * (2 + x[:, 1])
    expected = jax.vmap(g)(x) + factor * jax.vmap(u.network)(x)
    np.testing.assert_allclose(jax.vmap(u)(x), expected, rtol=1e-12)
    assert pde.time is not None
    assert (pde.time.given, pde.time.forward) == (end, key == "initial")
    np.testing.assert_allclose(jax.vmap(pde.time.data)(x), jax.vmap(g)(x), rtol=1e-12)
    np.testing.assert_allclose(jax.vmap(pde.time.away)(x), np.abs(x[:, 0] - end))
    assert not pde.conditions


def test_soft_values_and_gradients_are_terms_of_the_loss(float64: None) -> None:
    given = {"value": "sin(norm2(x))", "hold": "soft", "weight": 3, "gradient_weight": 0.5}
    pde = in_time(terminal={**given, "points": 7})
    assert pde.lift is None
    assert [condition.weight for condition in pde.conditions] == [3, 0.5]
    residual = SampledResidual(pde, STDE(Stratified(), 2))
    u, key = random_network(DIM + 1), make_key(1)
    values, gradients = residual.conditions
    points_key, _ = jax.random.split(key)
    x = values.condition.sample(7, key=points_key)
    assert (x[:, 0] == 0.7).all()
    np.testing.assert_allclose(values.fresh(u, 100, key=key), jax.vmap(lambda y: u(y) - g(y))(x))
    slopes = jax.vmap(jax.grad(lambda y: u(y) - g(y)))(x)[:, 1:]
    np.testing.assert_allclose(gradients.fresh(u, 100, key=key), slopes)
    expected = np.mean(np.sum(np.asarray(slopes) ** 2, axis=1))
    np.testing.assert_allclose(gradients.mean_square(u, 100, key=key), expected)


def test_without_a_gradient_weight_there_is_no_gradient_term() -> None:
    pde = in_time(initial={"value": 0, "hold": "soft", "gradient_weight": 0})
    assert len(pde.conditions) == 1
    # Nor is one asked for where there is none.
    kinked = {"value": "max(x1, 0)", "gradient_weight": 0}
    assert len(in_time(**on_diffusion(), initial=kinked).conditions) == 1


@pytest.mark.parametrize("text", ["max(x1 - 1/2, 0)", "abs(sum(i, x[i]))", "min(t, x2)"])
def test_what_has_a_kink_is_soft(text: str, float64: None) -> None:
    pde = in_time(terminal=text)
    assert pde.lift is None
    value, gradient = SampledResidual(pde, STDE(Stratified(), 2)).conditions
    u = random_network(DIM + 1)
    for condition in (value, gradient):
        assert np.isfinite(condition.fresh(u, 50, key=make_key(1))).all()


@pytest.mark.parametrize("text", ["max(1, 2)*x1", "abs(c[1])"])
def test_a_kink_of_numbers_alone_is_none(text: str) -> None:
    assert in_time(terminal=text).lift is not None


def test_the_point_at_which_the_value_is_wanted() -> None:
    for x, expected in ((2, [2, 2, 2]), ("c", [1, 0.5, 1]), ([1, 2, 3.5], [1, 2, 3.5])):
        pde = in_time(value_at={"x": x, "t": 0.7})
        assert pde.value_at is not None
        np.testing.assert_allclose(pde.value_at, [0.7, *expected], rtol=1e-6)
    assert in_time().value_at is None


DIFFUSING: dict[str, Any] = {"t": [0.2, 0.7], "x": {"diffusion": 0.5}}
GEOMETRIC: dict[str, Any] = {"t": [0.2, 0.7], "x": {"geometric": "c", "drift": 0.1, "denser": 2}}


def test_points_leave_the_point_that_is_wanted() -> None:
    domain = in_time(coordinates=DIFFUSING, value_at={"t": 0.7, "x": "c"}).domain
    assert isinstance(domain, Diffusion)
    assert (domain.wanted, domain.lower, domain.upper, domain.power) == (0.7, 0.2, 0.7, 1)
    np.testing.assert_allclose(domain.start, PARAMETERS["c"])
    x = np.asarray(domain.sample_where({0: 0.7}, 3, key=make_key(0)))
    np.testing.assert_allclose(x[:, 1:], np.tile(PARAMETERS["c"], (3, 1)))


def test_a_condition_at_a_time_has_the_points_of_that_time() -> None:
    asked = [{"at": {"t": 0.2}, "residual": "u - 1"}, {"at": {"t": "boundary"}, "residual": "u"}]
    options = {"coordinates": GEOMETRIC, "value_at": {"t": 0.2, "x": 1}, "conditions": asked}
    pde = in_time(**options)
    domain = pde.domain
    assert isinstance(domain, Diffusion)
    assert isinstance(domain.process, GeometricBrownian)
    np.testing.assert_allclose(domain.process.volatility, PARAMETERS["c"])
    at_start, at_ends = (c.sample(20, key=make_key(1)) for c in pde.conditions)
    assert (at_start == jnp.array([0.2, 1, 1, 1])).all()
    assert set(np.asarray(at_ends[:, 0])) == {np.float32(0.2), np.float32(0.7)}


def test_a_lift_beside_the_value_takes_its_place(float64: None) -> None:
    given = {"value": "norm2(x)", "lift": "norm2(x) + 6*(t - 0.2)"}
    pde = in_time(initial=given)
    x = pde.domain.sample_interior(5, key=make_key(1))
    assert pde.lift is not None
    assert pde.time is not None
    expected = jnp.sum(x[:, 1:] ** 2, axis=1)
    np.testing.assert_allclose(jax.vmap(pde.time.data)(x), expected)
    np.testing.assert_allclose(jax.vmap(pde.lift)(x), expected + 6 * (x[:, 0] - 0.2))


def on_diffusion(**keys: Any) -> dict[str, Any]:
    spec = {"diffusion": 0.5, **keys}
    return {"coordinates": {"t": [0.2, 0.7], "x": spec}, "value_at": {"t": 0.2, "x": 0}}


NO_TIME = {"s": [0, 1], "x": {"box": [-1, 1]}}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"initial": "x1", "terminal": "x1"}, "pde.terminal=x1: pde.initial is given too; give one"),
    ({"initial": "x1", "lift": "x1"}, "pde.lift=x1: pde.initial is the lift"),
    (
        {"initial": "x1", "coordinates": NO_TIME, "residual": "u_s - laplacian(u)"},
        "pde.initial=x1: there is no coordinate t; name one",
    ),
    ({"terminal": "max(x1, 0) +"}, "pde.terminal: "),
    ({"terminal": {"value": "x7"}}, "pde.terminal.value: "),
    ({"terminal": {"value": "max(x1, 0)", "hold": "hard"}}, "pde.terminal.hold=hard: the value is"),
    ({"terminal": {"value": "x1", "hold": "firm"}}, "pde.terminal.hold=firm: must be one of hard"),
    (
        {"initial": {"value": "x1", "lift": "x1 + t"}},
        "pde.initial.lift=(x1 + t): at t = 0.2 it is not the value, but up to 0.2 off",
    ),
    ({"initial": {"value": "x1", "lift": "x9"}}, "pde.initial.lift: "),
    ({"coordinates": DIFFUSING}, "pde.coordinates.x={'diffusion': 0.5}: no point is given"),
    (
        {"coordinates": {"x": {"diffusion": 1}}, "residual": "laplacian(u) - u"},
        "pde.coordinates.x={'diffusion': 1}: points diffuse in time",
    ),
    (on_diffusion(diffusion=0), "pde.coordinates.x.diffusion=0: must be above 0"),
    (on_diffusion(diffusion="w"), "pde.coordinates.x.diffusion=w: has 2 numbers"),
    (on_diffusion(diffusion="b"), "pde.coordinates.x.diffusion=b: no such parameter"),
    (on_diffusion(drift=1), "pde.coordinates.x.drift: no such key; beside diffusion give from"),
    (on_diffusion(since=0.8), "pde.coordinates.x.since=0.8: lies outside the range [0.2, 0.7]"),
    (on_diffusion(since="t"), "pde.coordinates.x.since=t: is no number"),
    (on_diffusion(scatter=-1), "pde.coordinates.x.scatter=-1: must be 0 or more"),
    (on_diffusion(rate=1), "pde.coordinates.x.rate: no such key; beside diffusion give from"),
    (on_diffusion(denser=0), "pde.coordinates.x.denser=0: must be above 0"),
    (on_diffusion(steps=0.5), "pde.coordinates.x.steps=0.5: must be a whole number"),
    (on_diffusion(**{"from": [1, 2]}), "pde.coordinates.x.from: has 2 numbers, and the family"),
    (
        on_diffusion() | {"initial": "max(x1, 0)"},
        "pde.initial.gradient_weight=0.05: the value has no gradient where points of that time are",
    ),
    (
        on_diffusion() | {"initial": {"value": "sqrt(norm2(x))", "hold": "soft"}},
        "pde.initial.gradient_weight=0.05: the value has no gradient",
    ),
    ({"terminal": {"hold": "soft"}}, "pde.terminal.value: is no text"),
    ({"terminal": {"value": 0, "weigth": 1}}, "pde.terminal.weigth: no such key; give value, lift"),
    ({"terminal": {"value": 0, "weight": 0}}, "pde.terminal.weight=0: must be above 0"),
    ({"initial": {"value": 0, "weight": 3}}, "pde.initial.weight=3: the values hold by constr"),
    ({"terminal": {"value": 0, "gradient_weight": -1}}, "pde.terminal.gradient_weight=-1: must be"),
    ({"terminal": {"value": 0, "points": 0.5}}, "pde.terminal.points=0.5: must be a whole number"),
    ({"coordinates": {**COORDINATES, "t": [0, 0]}}, "pde.coordinates.t=[0, 0]: is empty"),
    ({"coordinates": {**COORDINATES, "t": [0, -1]}}, "pde.coordinates.t=[0, -1]: is empty"),
    ({"value_at": {"t": 0.8, "x": 0}}, "pde.value_at.t=0.8: lies outside the range [0.2, 0.7]"),
    ({"value_at": {"t": 0.7, "x": [1, 2]}}, "pde.value_at.x: has 2 numbers, and the family has 3"),
    ({"value_at": {"t": 0.7, "x": "w"}}, "pde.value_at.x=w: has 2 numbers, and the family has 3"),
    ({"value_at": {"t": 0.7, "x": "A"}}, "pde.value_at.x=A: has 3 x 3 numbers, and"),
    ({"value_at": {"t": 0.7, "x": "b"}}, "pde.value_at.x=b: no such parameter; choose from: c"),
    ({"value_at": {"t": 0.7, "x": [1, 2, "a"]}}, "pde.value_at.x="),
    ({"value_at": {"t": 0.7, "x": float("nan")}}, "pde.value_at.x=nan: is no number, list"),
    ({"value_at": {"t": "0.7", "x": 0}}, "pde.value_at.t=0.7: is no number"),
    ({"value_at": {"t": 0.7}}, "pde.value_at: x is missing; write {t: 0, x: 0}"),
    ({"value_at": {"t": 0.7, "y": 0}}, "pde.value_at=y: no such coordinate; choose from t, x"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_makes_no_sense_is_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        in_time(**options)
    told = str(refused.value).splitlines()[0]
    assert told.startswith(message), told
