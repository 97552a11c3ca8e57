"""`push` against nested derivatives. Coefficients are derivatives, not over factorials."""

import math
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from jax.experimental import jet

from stde_cli.autodiff.taylor import COLLAPSED, down_closure, elementwise, push
from stde_cli.problem.operators import derivative_along
from stde_cli.system.prng import make_key
from tests.autodiff.taylor.test_trace import FUNCTIONS, N, X, entrywise, positive, weigh
from tests.helpers import random_network, relative_difference

A, B, C = (0.7, -0.4, 0.3, 0.9), (-0.2, 0.8, 0.5, 0.4), (0.6, 0.1, -0.7, 0.3)
"""Directions for the unknowns, none along a coordinate."""


def tower(f, order):
    """f, f', f'' ... f^(order) at a point of R^n: every derivative of every order, whole."""

    def with_itself(s):
        y = f(s)
        return y, (y,)

    def raised(g):
        slope = jax.jacfwd(g, has_aux=True)

        def at(s):
            top, below = slope(s)
            return top, (*below, top)

        return at

    for _ in range(order):
        with_itself = raised(with_itself)
    return lambda s: with_itself(s)[1]


def along(f, x, *vectors):
    """The unknowns' function e -> f(x + sum_k e_k v_k)."""
    return lambda e: f(x + e @ jnp.array(vectors))


def units(*vectors):
    """Linear seeds: unknown k moves along vectors[k]."""
    rows = np.eye(len(vectors), dtype=int)
    return {tuple(map(int, row)): jnp.array(v) for row, v in zip(rows, vectors, strict=True)}


def entry(derivatives, index):
    """D^index from whole derivative tensors."""
    positions = tuple(k for k, times in enumerate(index) for _ in range(times))
    return derivatives[len(positions)][positions]


def compare(f, vectors, top, *, x=X, rtol=1e-9):
    """Every coefficient below `top`, each against the largest derivative of its order."""
    indices = down_closure(top)

    def both(x):
        ours = push(lambda s: f(x + s), units(*vectors), indices)
        order = max(map(sum, indices))
        return ours, tower(along(f, x, *vectors), order)(jnp.zeros(len(vectors)))

    (value, found), expected = jax.jit(both)(jnp.array(x))
    assert set(found) == set(indices)
    np.testing.assert_allclose(value, expected[0], rtol=1e-13, atol=1e-13)
    for index in indices:
        scale = 1e-3 + np.abs(expected[sum(index)]).max()
        assert abs(found[index] - entry(expected, index)) < rtol * scale, index


# Rules, over the table of functions.

TABLE = """
entrywise: abs cosh erf exp gelu gelu_exact integer_pow log log_sigmoid logistic negative_pow pow
    pow_base reciprocal relu silu sin sinh softplus sqrt square tanh
operands: atan2 both_powers clip_moving divide divide_by divided max multiply same_twice
    scalar_times_array subtract
algebra: matvec matmul_both matmul_left batched_matmul outer convolve
reductions: argmax cumprod cumsum_reverse logsumexp softmax sort max prod sum_of_axis
shapes: add_at_repeated broadcast concatenate copy diagonal dynamic_slice_moving_start
    dynamic_update_both gather moveaxis pad_moving reverse set_at set_in_constant slice split stack
    take_along tile unstack
control: checkpoint checkpoint_in_jit cond_moving cond_other_branch custom_jvp custom_jvp_only
    custom_jvp_in_jit fori_loop jit_of_jit map scan switch vmap gradient_inside where
    where_constant where_scalar
mixed: constant integers_mixed linear only_one_coordinate round_trip_through_integers
    single_precision_inside stop_gradient zero
"""
NAMES = [
    f"{group}.{name}"
    for group, names in (part.split(":") for part in re.split(r"\n(?=\w)", TABLE.strip()))
    for name in names.split()
]


@pytest.mark.parametrize("name", NAMES)
def test_two_unknowns_against_nested_derivatives(float64, name):
    compare(FUNCTIONS[name], (A, B), [(2, 1)])


HIGHER = {
    "network": lambda x: random_network(N, width=5, depth=3)(x),
    "gelu": entrywise(jax.nn.gelu),
    "log": entrywise(jnp.log, positive),
    "pow": entrywise(lambda x: x**2.7, positive),
    "quotient": FUNCTIONS["operands.divide"],
    "matmul_both": FUNCTIONS["algebra.matmul_both"],
    "cumsum": FUNCTIONS["reductions.cumsum"],
    "custom_jvp": FUNCTIONS["control.custom_jvp"],
}


@pytest.mark.parametrize("name", HIGHER)
def test_more_unknowns_and_higher_orders(float64, name):
    compare(HIGHER[name], (A, B, C), [(1, 1, 1), (3, 1, 0), (0, 2, 2)])


@pytest.mark.parametrize("f", [jnp.sin, jnp.tanh, jnp.exp], ids=lambda f: f.__name__)
def test_one_unknown_to_order_eight(float64, f):
    """p(x) = f(sin(x) + x^2/3), by nested `jax.grad`."""

    def field(x):
        return jnp.sum(f(jnp.sin(x) + x**2 / 3))

    def expected(x):
        derivatives, derivative = [], lambda t: field(x + t)
        for _ in range(8):
            derivative = _slope(derivative)
            derivatives.append(derivative(0.0))
        return derivatives

    indices = [(k,) for k in range(1, 9)]
    x = jnp.array([0.4])
    _, found = jax.jit(lambda x: push(lambda s: field(x + s), {(1,): jnp.ones(1)}, indices))(x)
    ours = jnp.stack([found[index] for index in indices])
    np.testing.assert_allclose(ours, jax.jit(expected)(x), rtol=1e-10)


def _slope(f):
    return lambda t: jax.jvp(f, (t,), (1.0,))[1]


def test_curved_seeds_follow_faa_di_bruno(float64):
    """x + a t + b t^2/2 + c t^3/6 and, in two unknowns, x + a s + b t + c s t."""
    field, x = HIGHER["network"], jnp.array(X)
    a, b, c = jnp.array([A, B, C])

    def both(x):
        seeds = {(1,): a, (2,): b, (3,): c}
        curve = push(lambda s: field(x + s), seeds, [(k,) for k in range(1, 6)])[1]
        sheet = push(
            lambda s: field(x + s), {(1, 0): a, (0, 1): b, (1, 1): c}, down_closure([(2, 2)])
        )[1]
        curved = tower(lambda t: field(x + a * t + b * t**2 / 2 + c * t**3 / 6), 5)(0.0)
        bent = tower(lambda e: field(x + a * e[0] + b * e[1] + c * e[0] * e[1]), 4)(jnp.zeros(2))
        return curve, sheet, curved, bent

    curve, sheet, curved, bent = jax.jit(both)(x)
    for (k,), found in curve.items():
        np.testing.assert_allclose(found, curved[k], rtol=1e-11)
    for index, found in sheet.items():
        np.testing.assert_allclose(found, entry(bent, index), rtol=1e-10, atol=1e-12)


def test_seeds_beyond_the_kept_indices_are_cut_off(float64):
    field, x = HIGHER["network"], jnp.array(X)

    @jax.jit
    def both(x):
        within = units(A, B)
        beyond = within | {(2, 2): jnp.array(C)}
        indices = down_closure([(1, 1)])
        return [push(lambda s: field(x + s), seeds, indices)[1] for seeds in (within, beyond)]

    plain, found = both(x)
    assert found == plain


# The collapsed sum.

WEIGHTS = {
    "equal": {(4, 0): 1.0, (2, 2): 1.0, (0, 4): 1.0},
    "signed": {(3, 1): -2.5, (0, 4): 0.3},
    "one": {(2, 2): 1.0},
    "orders differ": {(3, 0): 2.0, (0, 4): -1.0, (1, 1): 0.7},
}


@pytest.mark.parametrize("name", ["network", "quotient", "custom_jvp"])
def test_a_collapsed_sum_is_the_sum_of_the_uppermost(float64, name):
    field = HIGHER[name]

    def both(x):
        def g(s):
            return field(x + s)

        plain = push(g, units(A, B), down_closure(i for w in WEIGHTS.values() for i in w))[1]
        collapsed = [push(g, units(A, B), down_closure(w), w)[1] for w in WEIGHTS.values()]
        return plain, collapsed

    plain, several = jax.jit(both)(jnp.array(X))
    for weights, collapsed in zip(WEIGHTS.values(), several, strict=True):
        assert set(collapsed) == set(down_closure(weights)) - set(weights) | {COLLAPSED}
        total = sum(weight * plain[index] for index, weight in weights.items())
        np.testing.assert_allclose(collapsed.pop(COLLAPSED), total, rtol=1e-11)
        for index, found in collapsed.items():
            np.testing.assert_allclose(found, plain[index], rtol=1e-12)


def test_a_seed_may_lie_in_the_collapsed_sum(float64):
    """Seeds of uppermost indices enter with their weights; here D u . c comes in at order 2."""
    field, x = HIGHER["network"], jnp.array(X)
    seeds = {(1,): jnp.array(A), (2,): jnp.array(C)}
    _, plain = push(lambda s: field(x + s), seeds, [(1,), (2,)])
    _, found = push(lambda s: field(x + s), seeds, [(1,), (2,)], {(2,): 3.0})
    np.testing.assert_allclose(found[COLLAPSED], 3 * plain[2,], rtol=1e-13)


def test_weights_may_be_traced_and_differentiated(float64):
    field, x = HIGHER["network"], jnp.array(X)
    indices = down_closure([(2, 1), (0, 3)])

    def total(w):
        weights = {(2, 1): w[0], (0, 3): w[1]}
        return push(lambda s: field(x + s), units(A, B), indices, weights)[1][COLLAPSED]

    _, plain = push(lambda s: field(x + s), units(A, B), indices)
    gradient = jax.jit(jax.grad(total))(jnp.array([0.5, -2.0]))
    np.testing.assert_allclose(gradient, [plain[2, 1], plain[0, 3]], rtol=1e-12)


def test_only_uppermost_coefficients_collapse():
    with pytest.raises(AssertionError, match=r"\(1, 0\) is not uppermost"):
        push(jnp.sum, units(A, B), down_closure([(2, 1)]), {(1, 0): 1.0})


# Reverse mode, types, degenerate fields.


@pytest.mark.parametrize("activation", ["tanh", "sin", "gelu", "silu", "softplus"])
def test_gradient_in_the_parameters_of_a_network(float64, activation):
    """Of the square of u_aab + u_b, against reverse mode over nested derivatives."""
    network = random_network(N, width=4, depth=3, activation=activation)
    parameters, static = eqx.partition(network, eqx.is_inexact_array)
    x = jnp.array(X)

    def ours(parameters):
        field = eqx.combine(parameters, static)
        _, found = push(lambda s: field(x + s), units(A, B), down_closure([(2, 1)]), {(2, 1): 1.0})
        return (found[COLLAPSED] + found[0, 1]) ** 2

    def theirs(parameters):
        g = along(eqx.combine(parameters, static), x, A, B)
        a, b = jnp.eye(2)
        third = derivative_along(g, jnp.stack([a, a, b]))
        return (third(jnp.zeros(2)) + derivative_along(g, b[None])(jnp.zeros(2))) ** 2

    gradients, expected = jax.jit(lambda p: (jax.grad(ours)(p), jax.grad(theirs)(p)))(parameters)
    for a, b in zip(jax.tree.leaves(gradients), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["control.checkpoint", "algebra.matmul_both"])
def test_reverse_mode_in_what_is_closed_over(float64, name):
    f, x = FUNCTIONS[name], jnp.array(X)
    m = jnp.eye(N) + 0.1 * jax.random.normal(make_key(2), (N, N))

    def ours(m):
        found = push(lambda s: f(m @ (x + s)), units(A, B), down_closure([(1, 1)]))[1]
        return found[1, 1] ** 2

    def theirs(m):
        return entry(tower(along(lambda y: f(m @ y), x, A, B), 2)(jnp.zeros(2)), (1, 1)) ** 2

    gradient, expected = jax.jit(lambda m: (jax.grad(ours)(m), jax.grad(theirs)(m)))(m)
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "field", [lambda s: jnp.float32(2.5), lambda s: jnp.sum(jnp.arange(3.0)), jnp.sum]
)
def test_constant_and_linear_fields_have_zeros(field):
    indices = down_closure([(2, 1)])
    value, found = push(field, units(A, B), indices, {(2, 1): 1.0})
    assert value.shape == ()
    for index in ((1, 1), (2, 0), COLLAPSED):
        assert found[index].shape == ()
        assert found[index].dtype == jnp.float32
        assert found[index] == 0


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_single_precision_stays_single(activation):
    network = random_network(N, width=5, activation=activation)
    x = jnp.array(X)
    indices = down_closure([(3, 2)])

    @jax.jit
    def pushed(network, x):
        return push(lambda s: network(x + s), units(A, B), indices, {(3, 2): 1.0})

    value, found = pushed(network, x)
    assert {value.dtype} | {c.dtype for c in found.values()} == {jnp.dtype("float32")}
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), (network, x))
        _, exact = pushed(*wide)
    for index, coefficient in found.items():
        np.testing.assert_allclose(coefficient, exact[index], rtol=1e-4, atol=1e-4, err_msg=index)


def test_factorials_beyond_32_bits_in_single_precision():
    """13! does not fit an int32; exp has every derivative at hand."""
    indices = [(k,) for k in range(1, 16)]
    value, found = push(lambda s: jnp.exp(s[0] - 0.3), {(1,): jnp.ones(1)}, indices)
    np.testing.assert_allclose(list(found.values()), [value] * 15, rtol=1e-5)


def test_a_custom_vjp_has_no_forward_derivative(float64):
    @jax.custom_vjp
    def f(x):
        return jnp.sum(x**2)

    f.defvjp(lambda x: (f(x), x), lambda x, g: (2 * g * x,))
    with pytest.raises(TypeError, match=r"forward-mode autodiff .* custom_vjp"):
        push(f, units(A, B), down_closure([(1, 1)]))


def test_loops_of_unknown_length(float64):
    def f(x):
        def body(state):
            return state[0] + 1, jnp.sin(state[1]) * x + 0.5

        return weigh(jax.lax.while_loop(lambda state: state[0] < 3 * x[3], body, (0, x**2))[1])

    compare(f, (A, B), [(2, 1)])


# Elementwise derivatives, to order ten.

Z = np.array([0.37, 0.92, 1.6])
ORDER = 10
PARAMS = {"integer_pow": [{"y": y} for y in (2, 3, 7, 12, -1, -3)]}


@pytest.mark.parametrize("name", elementwise._RULES)
def test_elementwise_derivatives_to_order_ten(float64, name):
    """Against `jax.experimental.jet`, which has recurrences of its own, and closed forms."""
    by_name = {
        "logistic": jax.nn.sigmoid,
        "erf": jax.lax.erf,
        "square": lambda z: z * z,
        "reciprocal": lambda z: 1 / z,
    }
    for params in PARAMS.get(name, [{}]):
        ours = jax.jit(lambda z, p=params: elementwise.derivatives(name, p, z, ORDER))(Z)
        if name == "integer_pow":
            theirs = _falling(params["y"])
        else:
            f = by_name.get(name) or getattr(jnp, name)
            series = [jnp.ones_like(Z)] + [jnp.zeros_like(Z)] * (ORDER - 1)
            value, rest = jet.jet(f, (jnp.array(Z),), (series,))
            theirs = [value, *rest]
        for n, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert a.dtype == jnp.float64
            # Where a derivative passes near zero it is measured against the largest entry.
            assert relative_difference(a, b) < 1e-9 if np.any(b) else not np.any(a), (n, params)


def _falling(y):
    factors = [math.prod(y - k for k in range(n)) for n in range(ORDER + 1)]
    return [c * Z ** float(y - n) if c else np.zeros_like(Z) for n, c in enumerate(factors)]


AT = {
    "reciprocal": (-400.0, -1.0, 0.05, 0.3, 7.0),
    "log": (0.05, 0.3, 1.0, 7.0, 400.0),
    "sqrt": (0.05, 0.3, 1.0, 7.0, 400.0),
    "sinh": (-9.0, -1.0, 1e-4, 0.3, 5.0),
    "cosh": (-9.0, -1.0, 1e-4, 0.3, 5.0),
    "exp": (-9.0, -1.0, 1e-4, 0.3, 5.0),
    "erf": (-6.0, -2.5, -1.0, 1e-4, 0.3, 0.9, 1.7, 3.0, 5.0),
}
EVERYWHERE = (-20.0, -8.0, -5.0, -2.5, -1.0, -0.3, 1e-4, 0.1, 0.6, 0.9, 1.3, 1.7, 3.0, 5.0, 10.0)
HIGHEST = 12
BY_MPMATH = {"logistic": lambda z: 1 / (1 + mpmath.exp(-z)), "reciprocal": lambda z: 1 / z}


@pytest.mark.parametrize("name", sorted(set(elementwise._RULES) - {"square", "integer_pow"}))
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_elementwise_derivatives_keep_their_digits(float64, name, dtype):
    """Against sixty digits: as near as a few roundings, of z and of the value, allow."""
    f = BY_MPMATH.get(name) or getattr(mpmath, name)
    z = np.array(AT.get(name, EVERYWHERE), dtype)
    slopes = jax.jit(lambda z: elementwise.derivatives(name, {}, z, HIGHEST))(z)
    with mpmath.workdps(60):
        exact = [
            [float(c * mpmath.factorial(n)) for n, c in enumerate(_taylor(f, float(point)))]
            for point in z
        ]
    for n, (ours, value, slope) in enumerate(
        zip(slopes, np.transpose(exact)[:-1], np.transpose(exact)[1:], strict=True)
    ):
        assert ours.dtype == dtype
        error = np.abs(np.asarray(ours, np.float64) - value)
        allowed = 100 * np.finfo(dtype).eps * (np.abs(value) + np.abs(z * slope))
        assert np.all(error <= allowed), (n, z[error > allowed])


def _taylor(f, point):
    return mpmath.taylor(f, mpmath.mpf(point), HIGHEST + 1)


def test_nested_elementwise_derivatives(float64):
    z = jnp.array(Z)
    ours = elementwise.nested(jnp.arctan, z, 4)
    d = 1 + z**2
    expected = [jnp.arctan(z), 1 / d, -2 * z / d**2, (6 * z**2 - 2) / d**3]
    for a, b in zip(ours, [*expected, 24 * z * (1 - z**2) / d**4], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
