import equinox as eqx
import folx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from stde_cli.autodiff.taylor import value_and_trace
from stde_cli.system.prng import make_key
from tests.helpers import (
    laplacian,
    point_inside,
    random_ansatz,
    random_network,
    relative_difference,
)

N = 4
X = (0.31, -0.72, 0.55, 1.27)
"""Away from ties and kinks, so that everything below is smooth around it."""


def weigh(y):
    """A sum with unequal weights: entries that changed places are seen."""
    return jnp.sum(y * jnp.cos(jnp.arange(y.size, dtype=y.dtype).reshape(y.shape) + 1))


def matrix(x, rows=3):
    """A full matrix that moves with every coordinate, to second order too."""
    return jnp.sin(jnp.arange(1.0, rows * x.size + 1).reshape(rows, x.size) * (x + 0.1 * x**2))


def entrywise(f, transform=lambda x: x):
    """f after a map with curvature, so that first and second order both arrive."""
    return lambda x: weigh(f(transform(x * (1 + 0.2 * x[::-1]))))


def positive(x):
    return x**2 + 0.4


def bounded(x):
    return 0.8 * jnp.tanh(x)


ENTRYWISE = {
    "abs": entrywise(jnp.abs),
    "acos": entrywise(jnp.arccos, bounded),
    "acosh": entrywise(jnp.arccosh, lambda x: 1.3 + x**2),
    "asin": entrywise(jnp.arcsin, bounded),
    "asinh": entrywise(jnp.arcsinh),
    "atan": entrywise(jnp.arctan),
    "atanh": entrywise(jnp.arctanh, bounded),
    "cbrt": entrywise(jnp.cbrt, positive),
    "ceil": entrywise(lambda x: jnp.ceil(x) * x),
    "cos": entrywise(jnp.cos),
    "cosh": entrywise(jnp.cosh),
    "digamma": entrywise(lax.digamma, positive),
    "elu": entrywise(jax.nn.elu),
    "erf": entrywise(lax.erf),
    "erf_inv": entrywise(lax.erf_inv, bounded),
    "erfc": entrywise(lax.erfc),
    "exp": entrywise(jnp.exp),
    "exp2": entrywise(jnp.exp2),
    "expm1": entrywise(jnp.expm1),
    "floor": entrywise(lambda x: jnp.floor(x) + x**2),
    "gelu": entrywise(jax.nn.gelu),
    "gelu_exact": entrywise(lambda x: jax.nn.gelu(x, approximate=False)),
    "integer_pow": entrywise(lambda x: x**5),
    "leaky_relu": entrywise(lambda x: jax.nn.leaky_relu(x) ** 2),
    "lgamma": entrywise(lax.lgamma, positive),
    "log": entrywise(jnp.log, positive),
    "log1p": entrywise(jnp.log1p, positive),
    "logistic": entrywise(jax.nn.sigmoid),
    "log_sigmoid": entrywise(jax.nn.log_sigmoid),
    "mish": entrywise(jax.nn.mish),
    "negative_pow": entrywise(lambda x: x**-3, positive),
    "pow": entrywise(lambda x: x**2.7, positive),
    "pow_base": entrywise(lambda x: 1.7**x),
    "reciprocal": entrywise(lambda x: 1 / x, positive),
    "relu": entrywise(lambda x: jax.nn.relu(x) ** 3),
    "relu6": entrywise(jax.nn.relu6),
    "rem": entrywise(lambda x: (x**2) % 0.37),
    "rsqrt": entrywise(lax.rsqrt, positive),
    "selu": entrywise(jax.nn.selu),
    "sign": entrywise(lambda x: jnp.sign(x) * x**2),
    "silu": entrywise(jax.nn.silu),
    "sin": entrywise(jnp.sin),
    "sinc": entrywise(jnp.sinc),
    "sinh": entrywise(jnp.sinh),
    "softplus": entrywise(jax.nn.softplus),
    "softsign": entrywise(jax.nn.soft_sign),
    "sqrt": entrywise(jnp.sqrt, positive),
    "square": entrywise(jnp.square),
    "tan": entrywise(jnp.tan),
    "tanh": entrywise(jnp.tanh),
}

SEVERAL_OPERANDS = {
    "add": lambda x: weigh(x**2 + jnp.sin(x[::-1])),
    "atan2": lambda x: jnp.arctan2(x[0] * x[1], 1 + x[2] ** 2) * x[3],
    "both_powers": lambda x: jnp.sum(positive(x) ** jnp.sin(x[::-1])),
    "clip": lambda x: weigh(jnp.clip(x**2, 0.2, 0.6) * x),
    "clip_moving": lambda x: weigh(lax.clamp(-(x[::-1] ** 2), x**3, x[::-1] ** 2)),
    "cross": lambda x: weigh(jnp.cross(x[:3], x[1:] ** 2)),
    "divide": lambda x: weigh(jnp.sin(x) / (2 + jnp.cos(x[::-1]))),
    "divide_by": lambda x: weigh(1 / (2 + jnp.cos(x))),
    "divided": lambda x: weigh(jnp.exp(x) / 3),
    "hypot": lambda x: jnp.hypot(x[0], x[1]) * jnp.hypot(x[2], x[3]),
    "logaddexp": lambda x: jnp.logaddexp(x[0] * x[1], x[2] ** 2) * x[3],
    "max": lambda x: weigh(jnp.maximum(x**2, jnp.sin(x[::-1]))),
    "min": lambda x: weigh(jnp.minimum(x**3, x[::-1])),
    "max_constant": lambda x: weigh(jnp.maximum(x**2, 0.2)),
    "multiply": lambda x: weigh(jnp.sin(x) * jnp.cos(x[::-1]) * x),
    "same_twice": lambda x: weigh((lambda y: y * y)(jnp.sin(x))),
    "scalar_times_array": lambda x: weigh(x[0] ** 2 * jnp.sin(x)),
    "subtract": lambda x: weigh(x**2 - jnp.sin(x[::-1]) * x),
}

LINEAR_ALGEBRA = {
    "matvec": lambda x: weigh(matrix(jnp.ones(N)) @ jnp.sin(x)),
    "matmul_both": lambda x: weigh(matrix(x) @ matrix(x**2).T),
    "matmul_left": lambda x: weigh(matrix(x) @ jnp.ones((N, 2))),
    "batched_matmul": lambda x: weigh(
        jnp.einsum("bij,bj->bi", matrix(x, 6).reshape(2, 3, N), matrix(x, 2))
    ),
    "outer": lambda x: weigh(jnp.outer(x, jnp.sin(x))),
    "vdot": lambda x: jnp.vdot(x, jnp.sin(x)),
    "norm": lambda x: jnp.linalg.norm(x),
    "solve": lambda x: weigh(jnp.linalg.solve(3 * jnp.eye(N) + jnp.outer(x, jnp.sin(x)), x)),
    "det": lambda x: jnp.linalg.det(2 * jnp.eye(N) + jnp.outer(x, jnp.sin(x))),
    "cholesky": lambda x: weigh(jnp.linalg.cholesky(3 * jnp.eye(N) + jnp.outer(x, x))),
    "convolve": lambda x: weigh(jnp.convolve(jnp.sin(x), x**2)),
    "convolve_constant": lambda x: weigh(jnp.convolve(jnp.sin(x), jnp.array([1.0, -2.0]))),
}

REDUCTIONS = {
    "argmax": lambda x: (x**3)[jnp.argmax(x)] * x[0],
    "cumlogsumexp": lambda x: weigh(lax.cumlogsumexp(x**2)),
    "cummax": lambda x: weigh(lax.cummax(x**2) * x),
    "cumprod": lambda x: weigh(jnp.cumprod(1 + x**2)),
    "cumsum": lambda x: weigh(jnp.cumsum(x**2) ** 2),
    "cumsum_reverse": lambda x: weigh(lax.cumsum(jnp.sin(x), reverse=True) * x),
    "layer_norm": lambda x: weigh(jax.nn.standardize(x) * x),
    "logsumexp": lambda x: jax.nn.logsumexp(x**2),
    "log_softmax": lambda x: weigh(jax.nn.log_softmax(jnp.sin(x))),
    "mean": lambda x: jnp.mean(x**3),
    "max": lambda x: jnp.max(x**2) * x[1],
    "median": lambda x: jnp.median(x**3),
    "min": lambda x: jnp.min(jnp.sin(x)),
    "prod": lambda x: jnp.prod(1 + x**2),
    "softmax": lambda x: weigh(jax.nn.softmax(x * x[0])),
    "sort": lambda x: weigh(jnp.sort(x**2)),
    "sort_pairs": lambda x: weigh(lax.sort((x**2, jnp.sin(x)), num_keys=1)[1]),
    "std": lambda x: jnp.std(x**2),
    "sum_of_axis": lambda x: weigh(jnp.sum(matrix(x), axis=0) ** 2),
    "top_k": lambda x: weigh(lax.top_k(x**2, 2)[0] ** 2),
    "window": lambda x: weigh(lax.reduce_window(x**2, -jnp.inf, lax.max, (2,), (1,), "VALID") ** 2),
}

SHAPES = {
    "add_at": lambda x: weigh(x.at[1].add(x[0] ** 2) ** 2),
    "add_at_repeated": lambda x: weigh(x.at[jnp.array([1, 1, 3])].add(jnp.sin(x[:3])) ** 2),
    "broadcast": lambda x: weigh(jnp.broadcast_to(x[:, None], (N, 3)) ** 2 * jnp.arange(3)),
    "concatenate": lambda x: weigh(jnp.concatenate([x**2, jnp.ones(2), jnp.sin(x)]) ** 2),
    "copy": lambda x: weigh(jnp.copy(x**2) ** 2),
    "diagonal": lambda x: weigh(jnp.diag(jnp.outer(x, jnp.sin(x)))),
    "dynamic_slice": lambda x: weigh(lax.dynamic_slice(x**3, (1,), (2,))),
    "dynamic_slice_moving_start": lambda x: weigh(
        lax.dynamic_slice(x**3, (jnp.int32(jnp.floor(x[3])),), (2,))
    ),
    "dynamic_update_both": lambda x: weigh(
        lax.dynamic_update_slice(x**2, jnp.sin(x[:2]), (1,)) ** 2
    ),
    "dynamic_update_operand": lambda x: weigh(
        lax.dynamic_update_slice(x**2, jnp.ones(2), (1,)) ** 2
    ),
    "dynamic_update_slice": lambda x: weigh(
        lax.dynamic_update_slice(jnp.ones(N), jnp.sin(x[:2]), (1,)) ** 2
    ),
    "gather": lambda x: weigh((x**2)[jnp.array([3, 0, 3])] * x[:3]),
    "moveaxis": lambda x: weigh(matrix(x).T ** 2),
    "multiply_at": lambda x: weigh(x.at[1].multiply(x[0] ** 2)),
    "max_at": lambda x: weigh((x**2).at[jnp.array([1, 2])].max(jnp.sin(x[:2]))),
    "pad": lambda x: weigh(jnp.pad(x**2, (1, 2)) ** 2),
    "pad_moving": lambda x: weigh(lax.pad(x**2, x[0] ** 3, [(1, 1, 1)]) ** 2),
    "reshape": lambda x: weigh((x**2).reshape(2, 2) @ jnp.sin(x).reshape(2, 2)),
    "reverse": lambda x: weigh(x[::-1] * x**2),
    "roll": lambda x: weigh(jnp.roll(x, 1) * x**2),
    "set_at": lambda x: weigh(x.at[1].set(x[0] ** 2) ** 2),
    "set_at_constant": lambda x: weigh((x**2).at[1].set(3.0) * x),
    "set_in_constant": lambda x: weigh(jnp.ones(N).at[2].set(x[0] * x[1]) ** 2),
    "slice": lambda x: weigh((x**2)[1:4:2] ** 2),
    "split": lambda x: weigh(jnp.split(jnp.sin(x), 2)[0] * jnp.split(jnp.cos(x), 2)[1]),
    "stack": lambda x: weigh(jnp.stack([x**2, jnp.sin(x)]) ** 2),
    "take_along": lambda x: weigh(jnp.take_along_axis(matrix(x), jnp.array([[2], [0], [1]]), 1)),
    "tile": lambda x: weigh(jnp.tile(x**2, 2) ** 2),
    "triangle": lambda x: weigh(jnp.tril(jnp.outer(x, jnp.sin(x)))),
    "unstack": lambda x: (lambda a, b, c, d: a * b**2 * jnp.sin(c) * d)(*x),
}


@jax.custom_jvp
def cube(x):
    return x**3


@cube.defjvp
def _cube_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return cube(x), 3 * x**2 * t


@jax.custom_jvp
def honest_only_in_its_rule(x):
    """Its value has no derivative at all; only the rule below, that of sin, does."""
    return lax.stop_gradient(jnp.sin(x))


@honest_only_in_its_rule.defjvp
def _honest_jvp(primals, tangents):
    return honest_only_in_its_rule(*primals), jnp.cos(primals[0]) * tangents[0]


def scanned(x):
    def body(carry, a):
        total, count = carry
        return (jnp.sin(total) + a * x, count + 1), total * a

    (total, count), rows = lax.scan(body, (x**2, 0), jnp.sin(x))
    return weigh(total) * count + weigh(rows)


CONTROL_FLOW = {
    "checkpoint": lambda x: jax.checkpoint(lambda y: weigh(jnp.sin(y) * y))(x**2),
    "checkpoint_in_jit": lambda x: jax.jit(jax.checkpoint(lambda y: weigh(jnp.tanh(y) * x)))(x**2),
    "cond_constant": lambda x: lax.cond(True, jnp.sin, jnp.cos, x)[0] * x[1],
    "cond_moving": lambda x: weigh(lax.cond(x[0] > 0, lambda y: y**3, jnp.cos, x * x[1])),
    "cond_other_branch": lambda x: weigh(lax.cond(x[0] < 0, lambda y: y**3, jnp.cos, x * x[1])),
    "custom_jvp": lambda x: weigh(cube(x * x[::-1])),
    "custom_jvp_only": lambda x: weigh(honest_only_in_its_rule(x * x[::-1])),
    "custom_jvp_in_jit": lambda x: weigh(jax.jit(honest_only_in_its_rule)(x * x[::-1])),
    "fori_loop": lambda x: weigh(lax.fori_loop(0, 3, lambda i, y: jnp.sin(y) * x + i, x**2)),
    "fori_loop_long": lambda x: weigh(lax.fori_loop(0, 20, lambda i, y: jnp.cos(y + x[0]), x)),
    "jit": lambda x: weigh(jax.jit(lambda y: jnp.sin(y) * y)(x**2)),
    "jit_of_jit": lambda x: weigh(jax.jit(lambda y: jax.jit(jnp.tan)(y) * y)(0.3 * x**2)),
    "map": lambda x: weigh(lax.map(lambda a: jnp.sin(a) * x[0], x)),
    "associative_scan": lambda x: weigh(lax.associative_scan(jnp.multiply, 1 + x**2)),
    "scan": scanned,
    "switch": lambda x: weigh(
        lax.switch(jnp.int32(x[3]), [jnp.sin, jnp.cos, lambda y: y**2], x * x[1])
    ),
    "vmap": lambda x: weigh(jax.vmap(lambda a: jnp.sin(a) * x)(x**2)),
    "gradient_inside": lambda x: weigh(jax.grad(lambda y: jnp.sum(jnp.sin(y) * y**2))(x * x[0])),
    "jvp_inside": lambda x: jax.jvp(lambda y: weigh(jnp.sin(y)), (x**2,), (x,))[1],
    "where": lambda x: weigh(jnp.where(x > 0, x**3, jnp.sin(x))),
    "where_constant": lambda x: weigh(jnp.where(jnp.arange(N) < 2, x**3, 1.0) * x),
    "where_scalar": lambda x: jnp.where(x[0] > x[1], x[2] ** 3 * x[0], jnp.sin(x[3])),
}

MIXED = {
    "constant": lambda x: jnp.asarray(2.5),
    "constant_array": lambda x: jnp.sum(jnp.arange(3.0) ** 2),
    "integer_index": lambda x: (x**2)[jnp.argmax(jnp.arange(N))] * N,
    "integers_mixed": lambda x: weigh(x**2 * jnp.arange(N)) + jnp.sum(jnp.arange(3)),
    "linear": lambda x: weigh(x),
    "linear_then_curved": lambda x: weigh(jnp.sin(matrix(jnp.ones(N)) @ x)),
    "only_one_coordinate": lambda x: jnp.sin(x[2] ** 2),
    "round_trip_through_integers": lambda x: (
        (x**2).astype(jnp.int32)[3].astype(x.dtype) * x[0] ** 2
    ),
    "single_precision_inside": lambda x: weigh(x**2) + jnp.float64(jnp.float32(1.5)),
    "stop_gradient": lambda x: weigh(lax.stop_gradient(x**2)) + x[0],
    "step": lambda x: jnp.sum(x > 0) * x[0] ** 2,
    "zero": lambda x: 0 * x[0],
}

FUNCTIONS = {
    f"{group}.{name}": f
    for group, table in {
        "entrywise": ENTRYWISE,
        "operands": SEVERAL_OPERANDS,
        "algebra": LINEAR_ALGEBRA,
        "reductions": REDUCTIONS,
        "shapes": SHAPES,
        "control": CONTROL_FLOW,
        "mixed": MIXED,
    }.items()
    for name, f in table.items()
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_against_the_trace_of_the_hessian(float64, name):
    f = FUNCTIONS[name]

    @jax.jit
    def both(x):
        return value_and_trace(lambda s: f(x + s), N), (f(x), laplacian(f, x))

    ours, theirs = both(jnp.array(X))
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_a_loop_of_unknown_length(float64):
    def f(x):
        def body(state):
            return state[0] + 1, jnp.sin(state[1]) * x + 0.5

        # How many steps it takes depends on x: reverse mode could not follow, forward mode can.
        return weigh(lax.while_loop(lambda state: state[0] < 3 * x[3], body, (0, x**2))[1])

    x = jnp.array(X)
    _, trace = value_and_trace(lambda s: f(x + s), N)
    np.testing.assert_allclose(trace, jnp.trace(jax.jacfwd(jax.jacfwd(f))(x)), rtol=1e-12)


def test_a_custom_vjp_has_no_forward_derivative(float64):
    @jax.custom_vjp
    def f(x):
        return jnp.sum(x**2)

    f.defvjp(lambda x: (f(x), x), lambda x, g: (2 * g * x,))
    with pytest.raises(TypeError, match=r"forward-mode autodiff .* custom_vjp"):
        value_and_trace(f, N)


def test_the_result_is_a_pair_of_scalars_even_for_constants():
    for f in (lambda s: jnp.float32(2.0), jnp.sum):
        value, trace = value_and_trace(f, 3)
        assert value.shape == trace.shape == ()
        assert value.dtype == trace.dtype == jnp.float32
        assert float(trace) == 0


@pytest.mark.parametrize(
    "name", ["entrywise.tanh", "algebra.matmul_both", "reductions.sort", "control.scan"]
)
def test_under_vmap(float64, name):
    f = FUNCTIONS[name]
    points = jnp.array(X) + 0.01 * jax.random.normal(make_key(1), (3, N))
    ours = jax.jit(jax.vmap(lambda x: value_and_trace(lambda s: f(x + s), N)))(points)
    theirs = jax.jit(jax.vmap(lambda x: (f(x), laplacian(f, x))))(points)
    np.testing.assert_allclose(ours, theirs, rtol=1e-11)


@pytest.mark.parametrize(
    "name",
    [
        "entrywise.gelu",
        "operands.divide",
        "algebra.matmul_both",
        "reductions.logsumexp",
        "shapes.add_at",
        "control.scan",
        "control.checkpoint",
        "control.custom_jvp",
        "mixed.linear",
    ],
)
def test_reverse_mode_in_what_is_closed_over(float64, name):
    """The gradient of value and trace in a matrix, against reverse mode over the Hessian."""
    f, x = FUNCTIONS[name], jnp.array(X)
    a = jnp.eye(N) + 0.1 * jax.random.normal(make_key(2), (N, N))

    def ours(a):
        value, trace = value_and_trace(lambda s: f(a @ (x + s)), N)
        return trace**2 + value

    def theirs(a):
        return laplacian(lambda y: f(a @ y), x) ** 2 + f(a @ x)

    gradient, expected = jax.jit(lambda a: (jax.grad(ours)(a), jax.grad(theirs)(a)))(a)
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", ["mlp", "weight_sharing"])
def test_gradient_in_the_parameters_of_an_ansatz(float64, kind):
    ansatz, x = random_ansatz(6, kind), point_inside(6)
    parameters, static = eqx.partition(ansatz, eqx.is_inexact_array)

    def ours(parameters):
        field = eqx.combine(parameters, static)
        return value_and_trace(lambda s: field(x + s), 6)[1] ** 2

    def theirs(parameters):
        return laplacian(eqx.combine(parameters, static), x) ** 2

    gradients, expected = jax.jit(lambda p: (jax.grad(ours)(p), jax.grad(theirs)(p)))(parameters)
    for a, b in zip(jax.tree.leaves(gradients), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("activation", ["tanh", "sin", "gelu", "silu", "softplus"])
def test_against_folx_on_a_network(float64, activation):
    network = random_network(10, width=16, depth=4, activation=activation)
    x = point_inside(10)
    value, trace = jax.jit(lambda x: value_and_trace(lambda s: network(x + s), 10))(x)
    theirs = jax.jit(folx.forward_laplacian(network))(x)
    assert relative_difference(value, theirs.x) < 1e-13
    assert relative_difference(trace, theirs.laplacian) < 1e-12
