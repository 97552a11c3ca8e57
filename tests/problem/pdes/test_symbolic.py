"""A PDE from text, built in Python: what it computes, and what it refuses.

The oracle is Python's own reading of a residual, with nested derivatives under the names.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.ansatz.hard_constraint import HardConstraint
from stde_cli.autodiff.directions import Dense, DenseDirections, Stratified, WithoutReplacement
from stde_cli.config.build import abstract_state
from stde_cli.estimators import STDE, Exact, draw_operators, read_operators
from stde_cli.objective.losses import Residual
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.domains import Ball, Box, Gaussian, Product
from stde_cli.problem.pdes import parameters
from stde_cli.problem.pdes.solutions import TwoBody
from stde_cli.problem.pdes.symbolic import Symbolic
from stde_cli.system.errors import UsageError
from stde_cli.system.prng import make_key
from tests.config.test_build import composed
from tests.helpers import (
    coordinate_directions,
    dense_matrix,
    jaxpr_shapes,
    random_guess,
    random_network,
)

DIM = 4
_random = np.random.default_rng(0)
NAMED = {"t": [0, 1], "x": [-1, 1], "y": [0, 2]}
FAMILY = {"t": [0, 1], "x": {"box": [-1, 1]}}
PARAMETERS: dict[str, Any] = {
    "a": 0.7,
    "nu": -1.3,
    "w": [0.5, 2.0],
    "A": [[1.0, 0.3], [-0.2, 0.5]],
}
VECTORS: dict[str, Any] = {
    "nu": -1.3,
    "c": _random.standard_normal(DIM),
    "w": _random.uniform(0.2, 2.0, DIM),
    "A": _random.standard_normal((DIM, DIM)).tolist(),
}


def symbolic(residual: str, coordinates: Mapping[str, Any] = NAMED, **options: Any) -> Symbolic:
    parameters = PARAMETERS if coordinates is NAMED else VECTORS
    dim = options.pop("dim", 3 if coordinates is NAMED else DIM)
    options = {"parameters": parameters, **options}
    return Symbolic(dim, coordinates=coordinates, residual=residual, key=make_key(0), **options)


def smooth(x):
    """Some function of a point, all of whose derivatives differ from zero."""
    k = jnp.arange(1, x.size + 1)
    return jnp.sin(jnp.sum(x * k / 3) + x[0] * x[-1]) + jnp.sum(jnp.cos(x * k)) + x[1] ** 3 * x[-1]


def nested(u: Callable, positions: list[int]) -> Callable:
    for position in positions:
        u = _slope(u, position)
    return u


def _slope(u: Callable, position: int) -> Callable:
    return lambda x: jax.jvp(u, (x,), (jnp.zeros_like(x).at[position].set(1),))[1]


class Names(dict):
    """What the names in a residual over t, x and y mean at a point, for Python's `eval`."""

    def __init__(self, u: Callable, x, parameters: Mapping[str, Any]):
        super().__init__({k: jnp.asarray(v, float) for k, v in parameters.items()})
        space = (1, 2)
        at = dict(zip("txy", x, strict=True))
        second = {(i, j): nested(u, [i, j])(x) for i in space for j in space}
        self |= at | {name: getattr(jnp, name) for name in ("sin", "exp", "sqrt", "pi")}
        self["u"] = u(x)
        self["laplacian"] = lambda _: sum(second[i, i] for i in space)
        self["biharmonic"] = lambda _: sum(nested(u, [i, i, j, j])(x) for i in space for j in space)
        self["grad_norm2"] = lambda *a: sum(
            _matrix(*a[:-1])[i, j] * nested(u, [i + 1])(x) * nested(u, [j + 1])(x)
            for i in range(2)
            for j in range(2)
        )
        self["trace"] = lambda a, _: sum(
            _matrix(a)[i, j] * second[i + 1, j + 1] for i in range(2) for j in range(2)
        )
        self._partial = lambda name: nested(u, ["txy".index(c) for c in name])(x)

    def __missing__(self, name: str):
        if name.startswith("u_"):
            return self._partial(name.removeprefix("u_"))
        raise KeyError(name)


def _matrix(a=None):
    if a is None:
        return jnp.eye(2)
    return a * jnp.eye(2) if a.ndim == 0 else jnp.diag(a) if a.ndim == 1 else a


OVER_NAMES = [
    "-u_t",
    "u_t + u*u_x + a*u_xxx",
    "u_t/a - u_xx/2 + nu*a*u_yy/3 - 2*(u_xy)",
    "-(u_t - a*u_xx) + u_x*u_y",
    "a*(u_t + u_xx) + u_y",
    "u_t - u_xx - u_xx",
    "u_tt - 2*laplacian(u) + nu*biharmonic(u)/(4*a) + sin(u)",
    "grad_norm2(u) + u_x - u*trace(A, u) + u_y",
    "trace(A, u) + trace(w, u)/nu - trace(a, u) + u_t*x",
    "u_xx*u_xx - u_xx + u_yy*3 + u_t",
    "x*u_xx + u_yy + exp(-t)*u_t",
    "(u_t + u_x)*a/2 - u",
    "u_xxxx/(2*a*nu) + u_xxyy*nu**2 + 3*u*w[1]",
    "sqrt(1 + u_x**2) - u_t - a**2*u_yy*w[2]",
    "laplacian(u) - u_xx + 0*u_y - (-1)*u_ty/pi",
    "sqrt(1 + grad_norm2(u)) - u_t*laplacian(u)",
    "u_t - grad_norm2(A, u)*nu - sqrt(grad_norm2(w, u)) + grad_norm2(a, u)*u_x",
]


@pytest.mark.parametrize("text", OVER_NAMES)
def test_a_residual_over_names_is_what_python_makes_of_it(text: str, float64: None) -> None:
    pde = symbolic(text)
    python = text.replace("w[1]", "w[0]").replace("w[2]", "w[1]")

    estimator = STDE(Stratified(), 1)
    drawn = estimator.draw(pde.operators, 3, key=make_key(1))

    def all_three(x):
        known = {name: operator.exact(smooth, x) for name, operator in pde.operators.items()}
        expected = eval(python, {"__builtins__": {}}, Names(smooth, x, PARAMETERS))
        estimated = estimator(smooth, pde.operators, x, drawn)
        return (
            pde.lhs(x, smooth(x), known),
            pde.equation.of(smooth, x),
            pde.lhs(x, *estimated),
            expected,
        )

    x = pde.domain.sample_interior(3, key=make_key(2))
    plain, planned, estimated, expected = jax.jit(jax.vmap(all_three))(x)
    for found in (plain, planned, estimated):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


def test_constant_factors_make_one_operator() -> None:
    pde = symbolic("u_t/a - 2*u_xx + laplacian(u) + u*u_y + x*u_xy")
    assert set(pde.operators) == {"linear_part", "u_y", "u_xy"}
    # Beside what is not linear they stay apart where they are needed apart.
    assert set(symbolic("u_t + u_x*u_t + u_xx").operators) == {"u_t", "u_x", "u_xx"}
    assert set(symbolic("u_t + u*u_x").operators) == {"u_t", "u_x"}


def test_derivatives_that_are_called_the_same_are_not_the_same(float64: None) -> None:
    """i is a coordinate here, and what the language calls the index k."""
    text = "sum(k, partial(u, x[k], i)) + sum(k, partial(u, x[k], x[k]))"
    pde = symbolic(text, {"i": [0, 1], "x": {"box": [-1, 1]}})

    def cubic(x):
        return x[0] ** 2 * jnp.sum(x[1:]) + jnp.sum(x[1:] ** 3)

    x = jnp.array([0.5, 0.1, 0.2, 0.3, -0.4])

    @jax.jit
    def lhs(x):
        known = {name: operator.exact(cubic, x) for name, operator in pde.operators.items()}
        return pde.lhs(x, cubic(x), known)

    np.testing.assert_allclose(lhs(x), 2 * 0.5 * 4 + 6 * 0.2, rtol=1e-12)


def test_a_gradient_takes_no_other_derivative_for_its_own(float64: None) -> None:
    """Coordinates x and xx: u_xx is refused, and the slope in xx is not the curvature in x."""
    pde = symbolic("grad_norm2(u) + u*partial(u, x, x)**2", {"x": [0, 1], "xx": [0, 1]}, dim=2)

    def cubic(x):
        return x[0] ** 3 + 5 * x[1]

    x = jnp.array([0.5, 0.25])
    known = {name: operator.exact(cubic, x) for name, operator in pde.operators.items()}
    expected = (3 * 0.25) ** 2 + 25 + (0.125 + 1.25) * 9
    np.testing.assert_allclose(pde.lhs(x, cubic(x), known), expected, rtol=1e-12)
    with pytest.raises(UsageError, match=r"can be read as partial\(u, x, x\) or as"):
        symbolic("u_xx", {"x": [0, 1], "xx": [0, 1]}, dim=2)


def test_two_body_over_a_random_permutation(float64: None) -> None:
    dim, c, a, b = 9, _random.standard_normal(8), "x[p[i]]", "x[p[i+1]]"
    order = parameters.permutation(dim, seed=3)
    assert sorted(order) == list(range(1, dim + 1))
    assert list(order) != sorted(order)
    np.testing.assert_array_equal(order, parameters.permutation(dim, seed=3))
    pde = symbolic(
        "laplacian(u) + sin(u) - f",
        {"x": {"ball": 1}},
        dim=dim,
        parameters={"c": c, "p": order},
        solution=f"(1 - norm2(x))*sum(i, c[i]*sin({a} + cos({b}) + {b}*cos({a})))",
    )
    straight = eqx.tree_at(lambda s: s.coefficients, TwoBody(dim, key=make_key(0)), jnp.asarray(c))
    x = pde.domain.sample_interior(3, key=make_key(2))
    solution = pde.solution
    assert solution is not None
    ours = jax.jit(jax.vmap(lambda y: (solution(y), pde.source(y))))(x)
    values, laplacians = jax.jit(jax.vmap(straight.value_and_laplacian))(x[:, order - 1])
    np.testing.assert_allclose(ours[0], values, rtol=1e-12)
    np.testing.assert_allclose(ours[1], laplacians + jnp.sin(values), rtol=1e-11)


class Parts:
    """Derivatives of a function of (t, x1, ..., x4), all over x but `time`."""

    def __init__(self, u: Callable, point):
        self.function, self.point = u, point
        self.u, self.x = u(point), point[1:]
        self.time = nested(u, [0])(point)
        self.grad = jax.grad(u)(point)[1:]
        self.hess = jax.hessian(u)(point)[1:, 1:]
        self.lap = jnp.trace(self.hess)

    @property
    def bilap(self):
        rows = range(1, DIM + 1)
        return sum(nested(self.function, [i, i, j, j])(self.point) for i in rows for j in rows)

    @property
    def third(self):
        return jnp.stack([nested(self.function, [i] * 3)(self.point) for i in range(1, DIM + 1)])


_c, _w, _A = (np.asarray(VECTORS[name]) for name in "cwA")
OVER_A_FAMILY: dict[str, Callable[[Parts], Any]] = {
    "u_t - laplacian(u) - div(x*u) + u_x1*u": lambda p: (
        p.time - p.lap - p.x @ p.grad - DIM * p.u + p.grad[0] * p.u
    ),
    "u_t + sum(i, c[i]*partial(u, x[i], x[i], x[i])) - nu*biharmonic(u)/3 + u**3": lambda p: (
        p.time + _c @ p.third + 1.3 * p.bilap / 3 + p.u**3
    ),
    "trace(A, u) + dot(c*x, grad(u))*u + grad_norm2(u)/2": lambda p: (
        jnp.sum(_A * p.hess) + (_c * p.x) @ p.grad * p.u + p.grad @ p.grad / 2
    ),
    "laplacian(u) - grad_norm2(A, u)/2 + sqrt(grad_norm2(w, u)) + grad_norm2(nu, u)": lambda p: (
        p.lap - p.grad @ _A @ p.grad / 2 + jnp.sqrt(_w @ p.grad**2) - 1.3 * p.grad @ p.grad
    ),
    "sum(i, (1 + x[i]**2)*partial(u, x[i], x[i+1])) + u*u_x2x2 + trace(w, u)": lambda p: (
        sum((1 + p.x[i] ** 2) * p.hess[i, i + 1] for i in range(DIM - 1))
        + p.u * p.hess[1, 1]
        + _w @ jnp.diag(p.hess)
    ),
    "div((1 + norm2(x))*grad(u)) - 2*u_t": lambda p: (
        (1 + p.x @ p.x) * p.lap + 2 * p.x @ p.grad - 2 * p.time
    ),
    "laplacian(u) - 2*sum(i, c[i]*x[i]*partial(u, x[i+1]))**2 + sum(i, partial(u, x[i]))": (
        lambda p: p.lap - 2 * ((_c * p.x)[:-1] @ p.grad[1:]) ** 2 + jnp.sum(p.grad)
    ),
    "laplacian(u)*exp(u) - u_x1**2 + norm2(x)": lambda p: (
        p.lap * jnp.exp(p.u) - p.grad[0] ** 2 + p.x @ p.x
    ),
}
DENSE = ("laplacian(u)*exp", "div(", "u_t - laplacian")
CASES = [
    *((text, STDE(Stratified(), 2)) for text in OVER_A_FAMILY),
    *((text, STDE(Dense("rademacher"), 2)) for text in OVER_A_FAMILY if text.startswith(DENSE)),
    ("trace(A, u) + dot(c*x, grad(u))*u + grad_norm2(u)/2", STDE(WithoutReplacement(), 3)),
]


@pytest.mark.parametrize(("text", "estimator"), CASES, ids=str)
def test_a_sampled_residual_is_unbiased(text: str, estimator: STDE, float64: None) -> None:
    pde = symbolic(text, FAMILY)
    assert not pde.nonlinear_in
    x = pde.domain.sample_interior(1, key=make_key(3))[0]

    def estimate(key):
        drawn = draw_operators(estimator, pde.operators, x.size, key=key)
        return pde.lhs(x, *read_operators(estimator, smooth, pde.operators, x, drawn))

    def all_three(keys):
        exact = pde.lhs(x, *Exact()(smooth, pde.operators, x, None))
        return jax.vmap(estimate)(keys), exact, OVER_A_FAMILY[text](Parts(smooth, x))

    estimates, exact, expected = jax.jit(all_three)(jax.random.split(make_key(4), 3000))
    np.testing.assert_allclose(exact, expected, rtol=1e-10)
    error = np.std(estimates) / np.sqrt(estimates.size)
    assert abs(np.mean(estimates) - expected) < 4 * error + 1e-10 * abs(expected)
    assert error > 1e-4, "nothing was sampled"


@pytest.mark.parametrize(
    ("text", "coordinates", "names"),
    [
        ("laplacian(u)**2 - u", FAMILY, ("laplacian",)),
        ("laplacian(u)*biharmonic(u)", FAMILY, ("laplacian", "biharmonic")),
        ("laplacian(u)*grad_norm2(u) - sqrt(1 + grad_norm2(u))", FAMILY, ()),
        ("u_t + u*(u_t + sin(biharmonic(u)))", FAMILY, ("biharmonic",)),
        ("u**2*laplacian(u)/(1 + u_t**2)", FAMILY, ()),
        ("u_x1**2*u_t + laplacian(u)", FAMILY, ()),
        ("laplacian(u)**2 + sin(u_xx)", NAMED, ()),
        ("trace(A, u)*biharmonic(u)", NAMED, ()),
        ("sqrt(1 + grad_norm2(u)) - dot(w, grad(u))**2", NAMED, ()),
        ("laplacian(u) - dot(x, grad(u))**2", FAMILY, ()),
    ],
)
def test_what_sampling_would_bias_is_told(
    text: str, coordinates: Mapping[str, Any], names: tuple[str, ...]
) -> None:
    assert symbolic(text, coordinates).nonlinear_in == names


def test_what_sampling_would_bias_is_refused_unless_exact() -> None:
    small = ("pde=schroedinger", "network.width=4", "network.depth=2", "train.points=2")
    text = "pde.residual='u_t - laplacian(u)**2'"
    with pytest.raises(UsageError, match=r"pde\.residual.* laplacian.*estimator=exact"):
        abstract_state(composed(*small, text))
    abstract_state(composed(*small, text, "estimator=exact"))


def test_the_space_of_the_names_is_all_but_t() -> None:
    pde = symbolic("u_t - laplacian(u)", {"x": [0, 1], "t": [0, 2]}, dim=2, parameters={})
    assert isinstance(pde.domain, Product)
    assert [type(part) for part in pde.domain.parts] == [Box, Box]

    def u(x):
        return x[0] ** 2 * x[1] ** 3

    x = jnp.array([0.5, 2.0])
    np.testing.assert_allclose(pde.equation.of(u, x), 3 * 0.25 * 4 - 2 * 8, rtol=1e-6)


def test_domains_of_families() -> None:
    spaces = {"box": [-1, 1], "ball": 2.0, "gaussian": 0.5}
    for (kind, value), expected in zip(spaces.items(), (Box, Ball, Gaussian), strict=True):
        pde = symbolic("laplacian(u)", {"x": {kind: value}}, parameters={})
        assert isinstance(pde.domain, expected)
        assert pde.domain.dim == DIM
        counted = {"t": [0, 1], "x": {kind: value, "count": 2}}
        with pytest.raises(UsageError, match="dim"):
            symbolic("laplacian(u)", counted, parameters={})
        pde = symbolic("laplacian(u)", counted, dim=3, parameters={})
        assert isinstance(pde.domain, Product)
        assert [part.dim for part in pde.domain.parts] == [1, 2]
        np.testing.assert_array_equal(
            np.shape(pde.domain.sample_interior(5, key=make_key(1))), (5, 3)
        )


def test_the_source_is_made_from_the_solution_or_given(float64: None) -> None:
    made = symbolic("u_t + u*u_x - f", solution="sin(x)*exp(-t)")
    given = symbolic("u_t + u*u_x - f", source="x*t")
    none = symbolic("u_t + u*u_x", solution="0")
    known = symbolic("u_t + u*u_x - f", solution="sin(x)", source="x*t")
    x = jnp.array([0.3, 0.8, 1.5])
    u, slope = math.sin(0.8) * math.exp(-0.3), math.cos(0.8) * math.exp(-0.3)
    np.testing.assert_allclose(made.source(x), -u + u * slope, rtol=1e-12)
    for pde in (given, known):
        np.testing.assert_allclose(pde.source(x), 0.24, rtol=1e-12)
    assert none.source(x) == 0
    assert given.solution is None
    known_values = {"u_t": jnp.array(2.0), "u_x": jnp.array(3.0)}
    np.testing.assert_allclose(given.residual(x, jnp.array(5.0), known_values), 17 - 0.24)


def test_a_place_holds_its_points() -> None:
    places = [
        {"t": 0.25},
        {"x": "boundary"},
        {"t": 1, "y": "boundary"},
        {},
    ]
    conditions = [{"residual": "u", **({"at": at} if at else {})} for at in places]
    pde = symbolic("u_t - u_xx", conditions=conditions)
    first, second, third, fourth = (np.asarray(c.sample(60, key=make_key(1))) for c in pde.asked)
    assert set(first[:, 0]) == {0.25}
    assert set(second[:, 1]) == {-1.0, 1.0}
    assert set(third[:, 0]) == {1.0}
    assert set(third[:, 2]) == {0.0, 2.0}
    assert len({*fourth[:, 0]}) > 50
    for x in (first, second, third, fourth):
        assert np.all((x >= [0, -1, 0]) & (x <= [1, 1, 2]))
    ball = symbolic(
        "laplacian(u)",
        {"x": {"ball": 2}},
        parameters={},
        conditions=[{"at": {"x": "boundary"}, "residual": "u", "weight": 3}],
    )
    lengths = np.linalg.norm(ball.asked[0].sample(60, key=make_key(1)), axis=1)
    np.testing.assert_allclose(lengths, 2, rtol=1e-6)
    assert ball.asked[0].weight == 3


def asking(**entry: Any) -> dict[str, Any]:
    return {"conditions": [{"residual": "u"}, {"residual": "u", **entry}]}


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    (asking(at={"z": 0}), ["pde.conditions[1].at=z", "choose from t, x, y"]),
    (asking(at={"x": "boundary", "y": "boundary"}), ["pde.conditions[1].at=", "split it up"]),
    (asking(at={"x": "edge"}), ["pde.conditions[1].at.x=edge", "a number or boundary"]),
    (asking(weight=0), ["pde.conditions[1].weight=0", "above 0"]),
    (asking(weight=-1.0), ["pde.conditions[1].weight=-1.0", "above 0"]),
    (asking(weight=math.inf), ["pde.conditions[1].weight=inf", "above 0"]),
    (asking(wieght=2), ["pde.conditions[1].wieght", "no such key", "at, residual, weight"]),
    (asking(residual="u - f"), ["pde.conditions[1].residual", "column 5"]),
    (asking(residual="u_z"), ["pde.conditions[1].residual", "column 1"]),
    ({"conditions": [{"at": {"t": 0}}]}, ["pde.conditions[0]=", "is no condition"]),
    ({"coordinates": {"x": [1, 0]}}, ["pde.coordinates.x=[1, 0]", "lower end first"]),
    ({"coordinates": {"x": [1, 1]}}, ["pde.coordinates.x=[1, 1]", "is empty"]),
    ({"coordinates": {"x": [0, 1, 2]}}, ["pde.coordinates.x=[0, 1, 2]", "is no range"]),
    ({"coordinates": {"x": "unit"}}, ["pde.coordinates.x=unit", "is no range"]),
    ({"coordinates": {"x": [0, "b"]}}, ["pde.coordinates.x=[0, 'b']", "two numbers"]),
    ({"coordinates": {"x": [0, math.inf]}}, ["pde.coordinates.x=", "two numbers"]),
    ({"coordinates": {"x": {"ball": 0}}}, ["pde.coordinates.x=", "ball: radius"]),
    ({"coordinates": {"x": {"gaussian": -1}}}, ["pde.coordinates.x=", "standard deviation"]),
    ({"coordinates": {"x": {"sphere": 1}}}, ["pde.coordinates.x=", "is no range"]),
    ({"coordinates": {"x": {"box": [2, 1]}}}, ["pde.coordinates.x.box=[2, 1]", "is empty"]),
    ({"coordinates": {"x": {"ball": 1, "count": 0}}}, ["pde.coordinates.x.count=0", "1 or more"]),
    ({"coordinates": {"x": {"ball": 1}, "y": {"ball": 1}}}, ["coordinates=y", "one family"]),
    ({"coordinates": {"u": [0, 1]}}, ["coordinates=u", "reserved"]),
    ({"coordinates": {}}, ["coordinates"]),
    ({"dim": 7}, ["dim=7", "t, x, y", "leave dim out"]),
    ({"residual": "u_t - f"}, ["pde.residual", "it holds f", "pde.source, or pde.solution"]),
    ({"source": "x"}, ["pde.source=x", "no - f"]),
    ({"residual": "u_t + 2*f", "source": "x"}, ["pde.residual", "column 9", "... - f"]),
    ({"residual": "x*y"}, ["pde.residual", "does not depend on u"]),
    ({"residual": "u_t + z"}, ["pde.residual", "z is not known at column 7"]),
    ({"solution": "u + 1"}, ["pde.solution", "column 1"]),
    ({"solution": "sin(z)"}, ["pde.solution", "column 5"]),
    ({"lift": "x +"}, ["pde.lift", "column"]),
    ({"constraint": "x^2"}, ["pde.constraint", "column 2", "**"]),
    ({"source": "f", "residual": "u_t - f"}, ["pde.source", "column 1"]),
    ({"parameters": {"a": "much"}}, ["pde.parameters.a=much", "is not a number"]),
    ({"parameters": {"a": [1, [2, 3]]}}, ["pde.parameters.a=", "is not a number"]),
    ({"parameters": {"a": None}}, ["pde.parameters.a", "is not a number"]),
    ({"parameters": {"x": 1.0}}, ["parameters.x", "coordinate's"]),
    ({"parameters": {"sin": 1.0}}, ["parameters.sin", "reserved"]),
    ({"residual": "dot(u*w, grad(u))"}, ["pde.residual", "cannot hold u"]),
]
REFUSED_OVER_A_FAMILY: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"residual": "sum(i, u*x[i]*partial(u, x[i])) + sum(i, (1 + u*x[i])*partial(u, x[i]))"},
        ["pde.residual", "u cannot stand inside a sum", "take it out of the sum"],
    ),
    (
        {"residual": "sum(i, sum(j, partial(u, x[i], x[i+1], x[j])))"},
        ["pde.residual", "different ranges"],
    ),
    (asking(at={"x": 0}), ["pde.conditions[1].at.x=0", "give boundary"]),
    (
        {"coordinates": {"x": {"gaussian": 1}}, **asking(at={"x": "boundary"})},
        ["pde.conditions[1].at.x=boundary", "whole space has none"],
    ),
    ({"residual": "partial(u, x[i], x[i])"}, ["pde.residual", "column"]),
]


@pytest.mark.parametrize(
    ("coordinates", "changes", "expected"),
    [
        *((NAMED, *case) for case in REFUSED),
        *((FAMILY, *case) for case in REFUSED_OVER_A_FAMILY),
    ],
    ids=lambda value: str(value)[:60],
)
def test_refusals_name_their_key(
    coordinates: Mapping[str, Any], changes: dict[str, Any], expected: list[str]
) -> None:
    changes = {"residual": "u_t - u", "coordinates": coordinates, **changes}
    if changes["coordinates"] is not coordinates:
        changes.setdefault("dim", 1)
        changes["parameters"] = {}
        changes["residual"] = "u"
    elif coordinates is FAMILY:
        changes["parameters"] = VECTORS
    with pytest.raises(UsageError) as raised:
        symbolic(**changes)
    for text in expected:
        assert text in str(raised.value)
    if "column" in str(raised.value):
        text, caret = raised.value.detail.split("\n")
        assert caret.endswith("^")
        assert len(caret) <= len(text) + 1


# Restriction.

LARGE: dict[str, Any] = {
    "residual": "u_t + laplacian(u) + biharmonic(u) - u**3 - f",
    "coordinates": {"t": [0, 1], "x": {"ball": 1}},
    "parameters": {},
    "solution": "(1 - norm2(x))*sum(i, sin(x[i] + t*cos(x[i+1])))",
    "constraint": "t*(1 - norm2(x))",
    "lift": "(1 - norm2(x))*sum(i, sin(x[i]))*x2/(2 + x1)",
    "source": "exp(-t)*sum(i, x[i]*x[i+2])",
}


@pytest.mark.parametrize(
    "directions",
    [
        coordinate_directions([7, 0, 3], [1.0, -0.5, 2.0]),
        coordinate_directions([2, 0, 2, 12], [1.0, -0.5, 2.0, 0.3]),
        "dense",
    ],
    ids=["distinct", "repeated", "dense"],
)
@pytest.mark.parametrize(
    ("constraint", "lift"),
    [
        (LARGE["constraint"], LARGE["lift"]),
        ("t*exp(-norm2(x)/2)", "exp(-norm2(x)/(1 + t))*(1 + t*x3)"),
        ("sum(i, sin(x[i]*x[i+1] + t))", "x12*sum(i, x[i]**2)**3"),
        (None, "sum(i, i_c[i]*x[i])"),
    ],
)
def test_the_ansatz_restricts_itself(
    directions: Any, constraint: str | None, lift: str, float64: None
) -> None:
    dim = 12
    parameters = {"i_c": _random.standard_normal(dim)}
    changes: dict[str, Any] = {"parameters": parameters, "constraint": constraint, "lift": lift}
    pde = symbolic(**LARGE | changes, dim=dim)
    guess = random_guess(pde.constraint, pde.layout.family_range, single=(0,))
    ansatz = HardConstraint(random_network(dim + 1), pde.constraint, 2.0, guess, pde.lift)
    if directions == "dense":
        vectors = jnp.asarray(_random.standard_normal((3, dim + 1)))
        directions = DenseDirections(vectors, jnp.ones(3))
    x = pde.domain.sample_interior(1, key=make_key(5))[0]
    rows = dense_matrix(directions, dim + 1)
    steps = 0.4 * np.random.default_rng(6).standard_normal((5, len(rows)))

    def both(s):
        return ansatz.restrict(x, directions)(s), ansatz(x + s @ rows)

    restricted, expected = jax.jit(jax.vmap(both))(jnp.asarray(steps))
    np.testing.assert_allclose(restricted, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("drawn", ["coordinates", "dense"])
def test_no_array_of_directions_times_dim(drawn: str) -> None:
    """In the gradient of the loss, at a large dim; dense directions do form one."""
    dim, directions, points = 40_000, 64, 4
    pde = symbolic(**LARGE, dim=dim)
    sampler = Stratified() if drawn == "coordinates" else Dense("rademacher")
    estimator = STDE(sampler, directions)
    network = random_network(dim + 1, "additive_mlp", width=3)
    guess = random_guess(pde.constraint, pde.layout.family_range, single=(0,))
    ansatz = HardConstraint(network, pde.constraint, 1.0, guess, pde.lift)
    parameters, static = eqx.partition(ansatz, eqx.is_inexact_array)
    x = jnp.zeros((points, dim + 1))

    def value(parameters, key):
        return Residual()(
            SampledResidual(pde, estimator), eqx.combine(parameters, static), x, key=key
        )

    jaxpr = jax.make_jaxpr(jax.grad(value))(parameters, make_key(1))
    largest = max(math.prod(shape) for shape in jaxpr_shapes(jaxpr.jaxpr))
    assert (largest < directions * dim) == (drawn == "coordinates")


def test_the_root_of_an_equicorrelated_covariance() -> None:
    root = parameters.equicorrelated(5, 0.2, 0.5, root=True)
    covariance = parameters.equicorrelated(5, 0.2, 0.5)
    np.testing.assert_allclose(root @ root.T, covariance, rtol=1e-12)
    np.testing.assert_allclose(np.diag(covariance), 0.04)
    np.testing.assert_allclose(covariance[0, 1], 0.02)
