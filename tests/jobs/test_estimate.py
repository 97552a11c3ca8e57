"""The estimator as a function, held against nested derivatives of any JAX function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import stde_cli as stde

DIM = 9
X = np.linspace(-0.4, 0.7, DIM)
A = np.outer(np.sin(np.arange(DIM)), np.cos(np.arange(DIM)))
C = np.linspace(0.5, 3, DIM)
GAUSSIAN = stde.Dense("gaussian")


def field(x):
    return jnp.sin(x @ jnp.linspace(0.2, 1, x.size)) + jnp.sum(x**4) * x[0]


def laplacian(u):
    return lambda x: jnp.trace(jax.hessian(u)(x))


def squared_gradient(u):
    return lambda x: jnp.sum(jax.grad(u)(x) ** 2)


# Expression, its meaning in nested derivatives of u, and what else `estimate` is given.
TABLE = {
    "linear": ("laplacian(u) + u*norm2(x)", lambda u, x: laplacian(u)(x) + u(x) * x @ x, {}),
    "gradient": (
        "sqrt(1 + u**2)*laplacian(u) + sqrt(grad_norm2(u))",
        lambda u, x: jnp.sqrt(1 + u(x) ** 2) * laplacian(u)(x) + jnp.sqrt(squared_gradient(u)(x)),
        {"sampler": stde.Dense("rademacher")},
    ),
    "fourth order": (
        "biharmonic(u) - laplacian(u)",
        lambda u, x: laplacian(laplacian(u))(x) - laplacian(u)(x),
        {"sampler": GAUSSIAN, "directions": 8},
    ),
    "parameters": (
        "sum(i, c[i]*partial(u, x[i], x[i])) + dot(c, grad(u)) + trace(A, u)",
        lambda u, x: C @ jnp.diag(jax.hessian(u)(x)) + C @ jax.grad(u)(x)
        + jnp.sum(A * jax.hessian(u)(x)),
        {"parameters": {"c": C, "A": A}, "sampler": stde.Importance()},
    ),
    "square": ("laplacian(u)**2", lambda u, x: laplacian(u)(x) ** 2, {}),
    "product": (
        "laplacian(u)*grad_norm2(u) + u_x1x2",
        lambda u, x: laplacian(u)(x) * squared_gradient(u)(x) + jax.hessian(u)(x)[0, 1],
        {"sampler": stde.WithReplacement()},
    ),
    "no polynomial": (
        "exp(laplacian(u)/20)",
        lambda u, x: jnp.exp(laplacian(u)(x) / 20),
        {"directions": 8, "draws": 30},
    ),
    "a name before a family": (
        "u_t + laplacian(u)",
        lambda u, x: jax.grad(u)(x)[0] + jnp.trace(jax.hessian(u)(x)[1:, 1:]),
        {"coordinates": ("t", ("x", DIM - 1))},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_no_bias_and_the_error_that_it_says(float64, name):
    expression, meaning, options = TABLE[name]
    options = {"directions": 4, "draws": 6} | options
    repetitions = 400

    @jax.jit
    def repeated(x):
        def one(key):
            return stde.estimate(expression, field, x, key=key, **options)

        return jax.vmap(one)(jax.random.split(jax.random.key(1), repetitions))

    found, truth = repeated(X), jax.jit(lambda x: meaning(field, x))(X)
    spread = np.std(found.value, ddof=1)
    assert 1e-4 * abs(truth) < spread
    assert abs(np.mean(found.value) - truth) < 4 * spread / repetitions**0.5
    said = np.sqrt(np.mean(np.square(found.standard_error)))
    assert 0.8 < said / spread < 1.3


@pytest.mark.parametrize("name", ["square", "product"])
def test_products_of_noisy_draws_have_no_bias_either(float64, name):
    """A tenth of what a draw needs: the square of the mean alone would be far off."""
    expression, meaning, _ = TABLE[name]
    options = {"directions": 1, "draws": 3, "sampler": stde.WithReplacement()}

    @jax.jit
    def repeated(keys):
        return jax.vmap(lambda key: stde.estimate(expression, field, X, key=key, **options))(keys)

    values = repeated(jax.random.split(jax.random.key(2), 4000)).value
    truth = jax.jit(lambda x: meaning(field, x))(X)
    assert abs(np.mean(values) - truth) < 4 * np.std(values) / 4000**0.5


NAMED = ("t", "x", "y")
EXACT = {
    "kdv": (
        "u_ty + u_xxxy - u_xx + c*u*u_x**2",
        {"coordinates": NAMED, "parameters": {"c": 2}},
        lambda d: d("ty") + d("xxxy") - d("xx") + 2 * d("") * d("x") ** 2,
    ),
    "no derivative": ("u + t", {"coordinates": NAMED}, lambda d: d("") + 0.3),
    "drift": (
        "dot(b, grad(u))",
        {"coordinates": NAMED, "parameters": {"b": [2.0, 3.0]}},
        lambda d: 2 * d("x") + 3 * d("y"),
    ),
}


@pytest.mark.parametrize("name", EXACT)
def test_what_is_not_sampled_has_no_error(float64, name):
    expression, options, meaning = EXACT[name]
    x = jnp.array([0.3, 0.5, -0.2])

    def derivative(names):
        u = field
        for letter in names:
            u = _slope(u, NAMED.index(letter))
        return u(x)

    value, error = stde.estimate(expression, field, x, key=jax.random.key(0), **options)
    np.testing.assert_allclose(value, meaning(derivative), rtol=1e-10)
    assert error == 0


def _slope(u, position):
    return lambda x: jax.grad(u)(x)[position]


def test_points_of_a_batch_share_what_is_drawn(float64):
    points = jnp.stack([X, 2 * X, X - 1])

    def both(points):
        key = jax.random.key(3)
        together = stde.estimate("laplacian(u)**2", field, points, key=key)
        alone = [stde.estimate("laplacian(u)**2", field, x, key=key) for x in points]
        return together, alone

    together, alone = jax.jit(both)(points)
    assert together.value.shape == together.standard_error.shape == (3,)
    for k, (value, error) in enumerate(alone):
        np.testing.assert_allclose(together.value[k], value, rtol=1e-9)
        np.testing.assert_allclose(together.standard_error[k], error, rtol=1e-9)


def test_every_coordinate_leaves_nothing_to_chance(float64):
    found = stde.estimate("laplacian(u)", field, X, directions=DIM, draws=2, key=jax.random.key(0))
    truth = jax.jit(laplacian(field))(X)
    np.testing.assert_allclose(found.value, truth, rtol=1e-10)
    assert found.standard_error < 1e-10


def test_it_is_differentiable_in_what_the_field_holds_and_compiles_once():
    """The field may close over what is traced; called anew it is not traced anew."""

    def value(scale):
        def scaled(x):
            return scale * jnp.sum(x**2)

        return stde.estimate("laplacian(u)", scaled, jnp.ones(5), key=jax.random.key(0)).value

    np.testing.assert_allclose(jax.grad(value)(3.0), 10, rtol=1e-6)
    traced = 0

    def counted(x):
        nonlocal traced
        traced += 1
        return jnp.sum(x)

    def call(seed):
        stde.estimate(
            "grad_norm2(u)*c + u_x1",
            counted,
            jnp.ones(5),
            parameters={"c": float(seed)},
            key=jax.random.key(seed),
        )

    call(0)
    # Its shape alone is looked at again.
    first, traced = traced, 0
    call(1)
    assert traced == 1 < first


POINT = np.zeros(3)
FAULTS = {
    "expression: the function lapl is not known at column 1": ("lapl(u)", field, POINT, {}),
    "dim=4: a point of x has 3 coordinates": ("u", field, POINT, {"dim": 4}),
    "coordinates=2: a point of x has 3": ("u", field, POINT, {"coordinates": ("t", "y")}),
    "directions=0: must be 1 or more": ("u", field, POINT, {"directions": 0}),
    "draws=1: must be 2 or more": ("u", field, POINT, {"draws": 1}),
    "x: has shape (): give": ("u", field, 1.0, {}),
    "field: gives (3,) at a point; return a scalar": ("u", jnp.sin, POINT, {}),
    "parameters.c=a: is not a number": ("u", field, POINT, {"parameters": {"c": "a"}}),
    "expression: p must hold whole numbers": (
        "sum(i, x[p[i]]*partial(u, x[i], x[i]))",
        field,
        POINT,
        {"parameters": {"p": [1.0, 2.0, 3.0]}},
    ),
    "field: complex: complex numbers do not go through": (
        "u_x1x1",
        lambda x: jnp.real(jnp.exp(lax.complex(x[0], x[1]))),
        POINT,
        {},
    ),
    "sampler=Dense: dense directions cannot": (
        "sum(i, partial(u, x[i], x[i], x[i]))",
        field,
        POINT,
        {"sampler": GAUSSIAN},
    ),
}


@pytest.mark.parametrize("listed", [[2, 3, 1], np.array([2, 3, 1]), jnp.array([2, 3, 1])])
def test_a_list_of_whole_numbers_is_an_index(listed):
    x = jnp.array([0.5, -1.0, 2.0])
    expression = "sum(i, x[p[i]]*partial(u, x[i], x[i]))"
    value, _ = stde.estimate(
        expression, lambda x: jnp.sum(x**3), x, parameters={"p": listed}, key=jax.random.key(0)
    )
    np.testing.assert_allclose(value, 6 * (-1 * 0.5 + 2 * -1 + 0.5 * 2), rtol=1e-5)


@pytest.mark.parametrize("told", FAULTS)
def test_faults_are_told(told):
    expression, u, x, options = FAULTS[told]
    with pytest.raises(stde.UsageError) as caught:
        stde.estimate(expression, u, x, key=jax.random.key(0), **options)
    assert str(caught.value).startswith(told.split(": give")[0]), caught.value
