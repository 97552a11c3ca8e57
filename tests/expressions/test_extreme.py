"""max(i, ...) and min(i, ...): values, derivatives and restrictions against JAX's own."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.autodiff.directions import AbstractSampler, Dense, Stratified
from stde_cli.autodiff.restriction import restrict
from stde_cli.expressions import ExpressionError, Field, Layout, is_kinked, parse
from stde_cli.system.prng import make_key

COUNT = 12
LAYOUT = Layout(("t", ("x", COUNT)))
CASES: dict[str, Callable] = {
    "arctan(max(i, x[i])) + t": lambda x: jnp.arctan(jnp.max(x[1:])) + x[0],
    "min(i, sin(x[i])*x[i+1]*t)**2": lambda x: jnp.min(jnp.sin(x[1:-1]) * x[2:] * x[0]) ** 2,
    "sum(j, x[j])*max(k, x[k]**2)": lambda x: jnp.sum(x[1:]) * jnp.max(x[1:] ** 2),
    "max(min(i, x[i]), 0)": lambda x: jnp.maximum(jnp.min(x[1:]), 0),
}


@pytest.mark.parametrize("text", CASES)
def test_values_and_derivatives(text: str, float64: None) -> None:
    field, meaning = Field.parse(text, LAYOUT, {}, where="test"), CASES[text]
    x = jax.random.normal(make_key(0), (COUNT + 1,))

    @jax.jit
    def found(x):
        return field(x), *field.value_gradient_laplacian(x, range(1, COUNT + 1))

    @jax.jit
    def expected(x):
        return meaning(x), jax.grad(meaning)(x), jax.hessian(meaning)(x)

    alone, value, gradient, laplacian = found(x)
    exact, slope, hessian = expected(x)
    np.testing.assert_allclose([alone, value], exact)
    np.testing.assert_allclose(gradient, slope[1:], atol=1e-14)
    np.testing.assert_allclose(laplacian, np.trace(hessian[1:, 1:]), atol=1e-13)


@pytest.mark.parametrize("sampler", [Stratified(), Dense("gaussian")], ids=["few", "all"])
@pytest.mark.parametrize("text", CASES)
def test_restrictions_compare_what_stays_with_what_moves(
    text: str, sampler: AbstractSampler, float64: None
) -> None:
    field, meaning = Field.parse(text, LAYOUT, {}, where="test"), CASES[text]
    x = jax.random.normal(make_key(0), (COUNT + 1,))
    directions = sampler(COUNT + 1, 2, key=make_key(1))
    g = restrict(field, x, directions)
    for s in (jnp.zeros(2), jnp.array([0.3, -0.2]), jnp.array([-4.0, 5.0])):
        np.testing.assert_allclose(g(s), meaning(directions.displace(x, s)), atol=1e-12)


def test_they_are_kinks_and_two_numbers_are_still_compared() -> None:
    assert is_kinked(parse("max(i, x[i])", LAYOUT, {}, where="test"))
    assert Field.parse("max(2, 3)", LAYOUT, {}, where="test")(jnp.zeros(COUNT + 1)) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max(i, u*x[i])", "max over an index takes functions of the point alone"),
        ("sum(j, max(i, x[i]*x[j]))", "cannot stand within a sum whose index it uses"),
        ("max(t, x[t])", ""),
        ("max(i, 3)", ""),
        ("diff(max(i, x[i]), x1)", "max over an index cannot be differentiated"),
    ],
)
def test_what_they_cannot_do_is_told(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        parse(text, LAYOUT, {}, where="test", allow=frozenset("u"))
