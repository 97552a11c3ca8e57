"""Values against the same formulas in NumPy, and symbolic derivatives against nested AD."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from stde_cli.expressions import (
    Drift,
    ExpressionError,
    GradNorm2,
    Laplacian,
    Layout,
    Partial,
    SumOfPartials,
    coefficient_at,
    degree_in,
    derivatives,
    evaluate,
    evaluate_vector,
    parse,
    split_source,
)
from tests.expressions.cases import DIM, FAMILY, NAMED, PARAMETERS, point, read, read_derivative

C, A, B, NU = (np.asarray(PARAMETERS[name]) for name in ("c", "A", "B", "nu"))
P, Q = (np.asarray(PARAMETERS[name]) - 1 for name in "pq")
SHORT = np.asarray(PARAMETERS["short"])


def sech(x):
    return 1 / np.cosh(x)


VALUES = {
    "1 + 2*3 - 4/8": lambda t, x: 6.5,
    "-2**2": lambda t, x: -4,
    "2**-1": lambda t, x: 0.5,
    "2**3**2": lambda t, x: 512,
    "8/4/2": lambda t, x: 1,
    "8 - 4 - 2": lambda t, x: 2,
    "+x1": lambda t, x: x[0],
    "-(x1 - t)": lambda t, x: t - x[0],
    "x1*-t": lambda t, x: -x[0] * t,
    "pi*t": lambda t, x: math.pi * t,
    "nu": lambda t, x: NU,
    "x3 + x[3] + c[2]": lambda t, x: 2 * x[2] + C[1],
    "A[2, 3]": lambda t, x: A[1, 2],
    "x1**2.5": lambda t, x: x[0] ** 2.5,
    "x1**t": lambda t, x: x[0] ** t,
    "x1**100": lambda t, x: x[0] ** 100,
    "(-x1)**101": lambda t, x: -(x[0] ** 101),
    "sin(t) + cos(t) + tan(t)": lambda t, x: np.sin(t) + np.cos(t) + np.tan(t),
    "sinh(t) + cosh(t) + tanh(t)": lambda t, x: np.sinh(t) + np.cosh(t) + np.tanh(t),
    "sech(t) - sech(-9*t)": lambda t, x: sech(t) - sech(9 * t),
    "exp(t) + log(t) + sqrt(t)": lambda t, x: np.exp(t) + np.log(t) + np.sqrt(t),
    "abs(-t) + arctan(t) + erf(t)": lambda t, x: t + np.arctan(t) + erf(t),
    "min(t, x1) + max(t, x1)*2": lambda t, x: min(t, x[0]) + 2 * max(t, x[0]),
    "sum(i, x[i])": lambda t, x: x.sum(),
    "sum(i, x[i]*x[i+1])": lambda t, x: (x[:-1] * x[1:]).sum(),
    "sum(i, c[i]*sin(x[i-2] + x[i+1]))": lambda t, x: (C[2:-1] * np.sin(x[:-3] + x[3:])).sum(),
    "sum(i, short[i]*x[i+2])": lambda t, x: (SHORT * x[2:]).sum(),
    "sum(i, x[i] + t)": lambda t, x: x.sum() + DIM * t,
    "sum(i, nu*t*x[i]/x1)": lambda t, x: NU * t * x.sum() / x[0],
    "sum(i, sin(x[i] - t))": lambda t, x: np.sin(x - t).sum(),
    "sum(i, sum(j, x[i]*x[j]**2))": lambda t, x: x.sum() * (x**2).sum(),
    "sum(i, sum(j, exp(x[i]*x[j])*c[j]))": lambda t, x: (np.exp(np.outer(x, x)) @ C).sum(),
    "sum(i, c[i]*sum(j, sin(x[i+1] - x[j])))": lambda t, x: (
        C[:-1] @ np.sin(x[1:, None] - x[None]).sum(1)
    ),
    "sum(i, sum(j, A[i, j]*x[j]*x[i]))": lambda t, x: x @ A @ x,
    "sum(i, A[i, i]*x[i])": lambda t, x: np.diag(A) @ x,
    "sum(i, A[i, 2]*x[i])": lambda t, x: A[:, 1] @ x,
    "sum(j, sum(i, sum(k, sin(x[i]*x[j]*A[j,k]))))": lambda t, x: np.sin(
        x[:, None, None] * x[None, :, None] * A[None]
    ).sum(),
    "x[p[2]] - c[q[5]]": lambda t, x: x[P[1]] - C[5],
    "sum(i, c[i]*sin(x[p[i]] + x[p[i+1]]))": lambda t, x: C[:-1] @ np.sin(x[P[:-1]] + x[P[1:]]),
    "sum(i, A[p[i], q[i]]*c[q[i]]*p[i])": lambda t, x: (A[P, Q] * C[Q]) @ (P + 1),
    "sum(i, sum(j, x[q[i]]*A[i, p[j]]*x[j]**2))": lambda t, x: x[Q] @ A[:, P] @ x**2,
    "dot(x, c)": lambda t, x: x @ C,
    "norm2(x - c)": lambda t, x: ((x - C) ** 2).sum(),
    "dot(sin(x)*t, c/2 + 1)": lambda t, x: np.sin(x) * t @ (C / 2 + 1),
    "dot(max(x, 0.5), -c)": lambda t, x: -np.maximum(x, 0.5) @ C,
    "dot(x, A @ x)": lambda t, x: x @ A @ x,
    "dot(x, A @ (A @ sin(x)))": lambda t, x: x @ A @ A @ np.sin(x),
    "norm2(B @ x + pair)": lambda t, x: ((B @ x + PARAMETERS["pair"]) ** 2).sum(),
    "dot(dot(x, c)*x, c)": lambda t, x: (x @ C) ** 2,
    "sum(i, x[i]*dot(x, x))": lambda t, x: x.sum() * (x @ x),
    "9**9**9**9": lambda t, x: np.inf,
}


@pytest.mark.parametrize("text", VALUES)
def test_values(float64, text):
    z = point()
    value = evaluate(read(text), FAMILY, PARAMETERS, z)
    assert value.shape == ()
    assert value.dtype == jnp.float64
    expected = VALUES[text](float(z[0]), np.asarray(z[1:]))
    np.testing.assert_allclose(value, expected, rtol=1e-13)


@pytest.mark.parametrize("text", ["1", "sum(i, c[i])", "2*pi*nu", "dot(x, c) + t"])
def test_values_have_the_precision_of_the_point(text):
    value = evaluate(read(text), FAMILY, PARAMETERS, jnp.ones(FAMILY.dim, jnp.float32))
    assert value.dtype == jnp.float32


def test_sech_far_out_in_single_precision():
    layout = Layout(("y",))
    node = parse("sech(y)", layout, {}, where="w")

    def value(y):
        return evaluate(node, layout, {}, jnp.stack([y]))

    for y in (-200.0, 200.0):
        assert [float(f(y)) for f in (value, jax.grad(value))] == [0, 0]
    assert [float(f(0.0)) for f in (value, jax.grad(value), jax.grad(jax.grad(value)))] == [
        1,
        0,
        -1,
    ]


def test_what_is_not_given_is_named(float64):
    for text, name in (("u", "u"), ("f", "f"), ("u_tt", "u_tt")):
        with pytest.raises(ValueError, match=f"holds {name},"):
            evaluate(read(text), FAMILY, PARAMETERS, point())


def test_given_values(float64):
    node = read("u_t - nu*laplacian(u) + u**2 - f + sum(i, x[i]*u_t)")
    given = {
        read_derivative("u_t"): jnp.asarray(2.0),
        read_derivative("laplacian(u)"): jnp.asarray(3.0),
    }
    z = point()
    value = evaluate(
        node, FAMILY, PARAMETERS, z, u=jnp.asarray(5.0), f=jnp.asarray(7.0), derivatives=given
    )
    np.testing.assert_allclose(value, 2 - 0.3 * 3 + 25 - 7 + 2 * z[1:].sum(), rtol=1e-13)


# A smooth u whose derivatives AD gives, for the symbolic rules.


def smooth(z):
    return jnp.sin(jnp.arange(1.0, z.size + 1) @ z / 3) + jnp.prod(z) + jnp.sum(z**3) / 5


def along(function, k):
    return lambda z: jax.grad(function)(z)[k]


def nested(coordinates):
    derivative = smooth
    for k in coordinates:
        derivative = along(derivative, k)
    return derivative


def given_by_ad(node, layout, z):
    """All derivatives of `smooth` that a node names."""
    space = jnp.asarray(list(layout.space))
    found = {}
    for d in derivatives(node):
        if isinstance(d, Partial):
            found[d] = nested(d.coordinates)(z)
        elif isinstance(d, Laplacian):
            found[d] = jnp.trace(jax.hessian(smooth)(z)[space][:, space])
        elif isinstance(d, GradNorm2):
            found[d] = jnp.sum(jax.grad(smooth)(z)[space] ** 2)
        elif isinstance(d, Drift):
            b = evaluate_vector(d.vector, d.index, layout, PARAMETERS, z, u=smooth(z))
            found[d] = b @ jax.grad(smooth)(z)[space]
    return found


def residual(text, layout):
    node = read(text, layout)

    def value(z):
        given = given_by_ad(node, layout, z)
        return evaluate(node, layout, PARAMETERS, z, u=smooth(z), derivatives=given)

    return value


DIFFERENTIATED = [
    "x**3*y/(1 + y**2)",
    "sin(x*y)*cos(x)**2 + tan(x/4)",
    "sinh(x) - cosh(x*t) + tanh(x)*sech(x*y)",
    "exp(-x**2)*log(1 + x) + sqrt(x + y)",
    "abs(x - 2)*arctan(x*y) + erf(x)",
    "min(x, y)*max(x, 0.3) + max(x*y, t)",
    "x**y + y**x + 2**x",
    "u*u_x + u_xy**2 + partial(u, t)*x",
    "u/(1 + u_y**2) - 3*x*u**3",
    "7 + nu*y",
]


@pytest.mark.parametrize("name", ["x", "y"])
@pytest.mark.parametrize("text", DIFFERENTIATED)
def test_diff_is_the_derivative(float64, text, name):
    z = point(NAMED)
    actual = jax.jit(residual(f"diff({text}, {name})", NAMED))(z)
    expected = jax.jit(jax.grad(residual(text, NAMED)))(z)[NAMED.index(name)]
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)


SUMS_DIFFERENTIATED = [
    "sum(i, c[i]*sin(x[i]*x[i+1])*t)",
    "sum(i, short[i]*exp(x[i]*x[i+1] - x[i+2]))",
    "norm2(x)**2 + x1*x6*dot(c, x)",
    "sum(i, sin(x[i] - t*x3))",
    "sum(i, cos(x[i]*u) + x[i])",
]


@pytest.mark.parametrize("name", ["t", "x1", "x3"])
@pytest.mark.parametrize("text", SUMS_DIFFERENTIATED)
def test_diff_of_sums_is_the_derivative(float64, text, name):
    z = point()
    actual = jax.jit(residual(f"diff({text}, {name})", FAMILY))(z)
    expected = jax.jit(jax.grad(residual(text, FAMILY)))(z)[
        {"t": 0, "x1": 1, "x3": 3, "x6": 6}[name]
    ]
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)


def test_diff_of_a_sum_that_is_no_product_is_refused():
    with pytest.raises(ExpressionError, match="that is no product cannot be differentiated"):
        read("diff(dot(x, A @ x), x1)")


DIVERGENCES = {
    "div((1 + t)*grad(u))": lambda z, u: 1 + z[0],
    "div(grad(u)*exp(-dot(x, x)))": lambda z, u: jnp.exp(-z[1:] @ z[1:]),
    "div((1 + u**2)*grad(u))": lambda z, u: 1 + u**2,
    "div(grad(u)/(2 + sum(i, c[i]*x[i]*x[i+1])*u))": lambda z, u: (
        1 / (2 + jnp.sum(C[:-1] * z[1:-1] * z[2:]) * u)
    ),
    "-div(x2*sin(u + x1)*grad(u))": lambda z, u: -z[2] * jnp.sin(u + z[1]),
}


@pytest.mark.parametrize("text", DIVERGENCES)
def test_diffusion(float64, text):
    def flux(z):
        return DIVERGENCES[text](z, smooth(z)) * jax.grad(smooth)(z)

    z = point()
    expected = jnp.trace(jax.jit(jax.jacfwd(flux))(z)[1:, 1:])
    np.testing.assert_allclose(jax.jit(residual(text, FAMILY))(z), expected, rtol=1e-10)


ADVECTIONS = {
    "div(c*u)": lambda z: C,
    "div(u*x)": lambda z: z[1:],
    "div((t*sin(x)*c + 1)*u)": lambda z: z[0] * jnp.sin(z[1:]) * C + 1,
    "div(-x*u)": lambda z: -z[1:],
}


@pytest.mark.parametrize("text", ADVECTIONS)
def test_advection(float64, text):
    def flux(z):
        return ADVECTIONS[text](z) * smooth(z)

    z = point()
    expected = jnp.trace(jax.jit(jax.jacfwd(flux))(z)[:, 1:])
    np.testing.assert_allclose(jax.jit(residual(text, FAMILY))(z), expected, rtol=1e-10)


VECTORS = {
    "dot(c, grad(u))": lambda t, x, u: C,
    "dot(grad(u), t*x - 2)": lambda t, x, u: t * x - 2,
    "dot(A @ x + u*c, grad(u))": lambda t, x, u: A @ x + u * C,
    "dot(dot(x, x)*sin(x), grad(u))": lambda t, x, u: (x @ x) * np.sin(x),
}


@pytest.mark.parametrize("text", VECTORS)
def test_drift_vectors(float64, text):
    (drift,) = derivatives(read(text))
    assert isinstance(drift, Drift)
    z = point()
    b = evaluate_vector(drift.vector, drift.index, FAMILY, PARAMETERS, z, u=jnp.asarray(0.7))
    assert b.shape == (DIM,)
    expected = VECTORS[text](float(z[0]), np.asarray(z[1:]), 0.7)
    np.testing.assert_allclose(b, expected, rtol=1e-12)


def test_a_drift_without_a_family_is_over_all_but_time(float64):
    (drift,) = derivatives(read("dot(pair*t, grad(u))", NAMED))
    assert isinstance(drift, Drift)
    b = evaluate_vector(drift.vector, drift.index, NAMED, PARAMETERS, jnp.array([3.0, 2.0, 5.0]))
    np.testing.assert_allclose(b, 2 * PARAMETERS["pair"])


def test_coefficients_at_traced_numbers(float64):
    text = "sum(i, sum(j, (1 + x[i]*c[j] + A[i, j]*sum(k, sin(x[k]*x[i])))*partial(u,x[i],x[j])))"
    (node,) = derivatives(read(text))
    assert isinstance(node, SumOfPartials)
    z, i, j = point(), np.array([0, 3, 5, 5]), np.array([2, 2, 0, 5])

    @jax.jit
    def coefficients(i, j):
        return coefficient_at(node, FAMILY, PARAMETERS, z, {"i": i, "j": j})

    x = np.asarray(z[1:])
    expected = 1 + x[i] * C[j] + A[i, j] * np.sin(np.outer(x[i], x)).sum(1)
    np.testing.assert_allclose(coefficients(i, j), expected, rtol=1e-12)
    constant = derivatives(read("sum(i, partial(u, x[i]))"))[0]
    assert isinstance(constant, SumOfPartials)
    ones = coefficient_at(constant, FAMILY, PARAMETERS, z, {"i": jnp.asarray(i)})
    np.testing.assert_array_equal(ones, 1)


AFFINE = {
    "u_t - nu*laplacian(u) + u**3": None,
    "u*laplacian(u)/(1 + u**2) - (2 - laplacian(u))*x1": None,
    "sum(i, sin(x[i])*laplacian(u))": None,
    "u_t**2 + laplacian(u)": None,
    "laplacian(u)**2": 1,
    "u_t + sin(t*laplacian(u))": 7,
    "u_t + laplacian(u)*grad_norm2(u)": 7,
    "t/(1 + laplacian(u))": 1,
    "max(t, laplacian(u))": 1,
    "sum(i, exp(x[i]*laplacian(u)))": 8,
    "2**laplacian(u)": 1,
}


@pytest.mark.parametrize("text", AFFINE)
def test_degree(text):
    culprit = degree_in(read(text), set(map(read_derivative, ("laplacian(u)", "grad_norm2(u)"))))
    assert (culprit and culprit.column + 1) == AFFINE[text]


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("u_t - laplacian(u) - f", "u_t - laplacian(u)"),
        ("-f + u", "u"),
        ("u_t - (f + u)", "u_t - u"),
        ("u_t - laplacian(u)", None),
    ],
)
def test_the_source_is_split_off(text, rest):
    found = split_source(read(text), text=text, where="pde.residual")
    assert found == (read(rest) if rest else None)


@pytest.mark.parametrize(
    ("text", "column"),
    [("u_t + f", 7), ("u - 2*f", 7), ("u - f - f", 9), ("u - sin(f)", 9), ("f", 1), ("f*u", 1)],
)
def test_the_source_stands_as_minus_f_alone(text, column):
    with pytest.raises(ExpressionError, match=f"at column {column}; write the residual") as caught:
        split_source(read(text), text=text, where="pde.residual")
    assert caught.value.detail.split("\n")[1].index("^") == column + 1
