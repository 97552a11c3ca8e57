import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from stde_cli.autodiff.taylor import pure_derivatives
from tests.helpers import random_ansatz

X, V = (0.3, 0.5, 0.7), (1.0, -0.5, 2.0)

FUNCTIONS = {
    "constant": lambda x: jnp.asarray(1.5),
    "linear": lambda x: x @ jnp.arange(3.0),
    "polynomial": lambda x: jnp.sum(x**5) * x[0],
    "quotient": lambda x: x[0] / (1 + x[1] * x[2]),
    "sin": lambda x: jnp.sum(jnp.sin(x * x[0])),
    "tanh": lambda x: jnp.sum(jnp.tanh(x * x[0])),
    "gelu": lambda x: jnp.sum(jax.nn.gelu(x * x[0])),
    "silu": lambda x: jnp.sum(jax.nn.silu(x * x[0])),
    "softplus": lambda x: jnp.sum(jax.nn.softplus(x * x[0])),
    "relu": lambda x: jnp.sum(jax.nn.relu(x) ** 3),
    "logsumexp": jax.nn.logsumexp,
    "norm": jnp.linalg.norm,
    "matmul": lambda x: jnp.sum(jnp.outer(x, jnp.sin(x)) @ x),
    "checkpoint": lambda x: jnp.sum(jax.checkpoint(jnp.sin)(x * x)),
    "jit": lambda x: jax.jit(lambda y: jnp.sum(jnp.exp(y) * x))(x),
    "custom_jvp_in_jit": lambda x: jnp.sum(jax.jit(jax.nn.softplus)(x * x)),
    "update": lambda x: jnp.sum(x.at[0].add(x[1] ** 2) ** 3),
    "mlp": random_ansatz(3),
    "weight_sharing": random_ansatz(3, "weight_sharing", block_size=3),
}


@pytest.mark.parametrize(
    ("name", "order"), [*((name, 4) for name in FUNCTIONS), ("mlp", 1), ("mlp", 2), ("mlp", 3)]
)
def test_pure_derivatives_against_nested_jvp(float64, name, order):
    f, x, v = FUNCTIONS[name], jnp.array(X), jnp.array(V)

    def nested(x, v):
        derivative, derivatives = lambda t: f(x + t * v), []
        for _ in range(order):
            derivative = jax.jacfwd(derivative)
            derivatives.append(derivative(0.0))
        return jnp.stack(derivatives)

    ours, theirs = jax.jit(lambda x, v: (pure_derivatives(f, x, v, order), nested(x, v)))(x, v)
    assert ours.shape == (order,)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-10)


def test_under_vmap_and_reverse_mode(float64):
    x, directions = jnp.array(X), jnp.eye(3)

    def ours(scale):
        f = lambda y: jnp.sum(jnp.tanh(scale * y) * y[0])  # noqa: E731
        return jnp.sum(jax.vmap(lambda v: pure_derivatives(f, x, v, 2)[1])(directions))

    def theirs(scale):
        f = lambda y: jnp.sum(jnp.tanh(scale * y) * y[0])  # noqa: E731
        return jnp.trace(jax.hessian(f)(x))

    results = jax.jit(lambda a: [jax.value_and_grad(f)(a) for f in (ours, theirs)])(1.3)
    np.testing.assert_allclose(*results, rtol=1e-10)


@pytest.mark.parametrize(
    ("primitive", "f"),
    [
        ("tan", lambda x: jnp.sum(jnp.tan(x))),
        ("tan", lambda x: jnp.sum(jax.jit(jnp.tan)(x))),
        ("sort", lambda x: jnp.sort(x)[0]),
        ("cond", lambda x: lax.cond(x[0] > 0, jnp.sin, jnp.cos, x)[0]),
        ("scan", lambda x: lax.fori_loop(0, 3, lambda i, y: jnp.sin(y), x)[0]),
        ("while", lambda x: lax.while_loop(lambda y: y[0] < 1, lambda y: 2 * y, x)[0]),
        ("lgamma", lambda x: jnp.sum(lax.lgamma(x))),
        ("scatter", lambda x: jnp.sum(x.at[0].set(x[1] ** 2))),
        ("reduce_prod", jnp.prod),
        ("min", lambda x: jnp.sum(jnp.clip(x, 0.0, 1.0))),
    ],
)
def test_a_primitive_without_a_rule_is_named(primitive, f):
    with pytest.raises(ValueError, match=f"no rule for the primitive {primitive};.*stde"):
        pure_derivatives(f, jnp.array(X), jnp.array(V), 2)


def test_an_error_of_the_field_itself_is_left_alone():
    with pytest.raises(KeyError, match="amplitude"):
        pure_derivatives(lambda x: {}["amplitude"] * x[0], jnp.array(X), jnp.array(V), 2)
