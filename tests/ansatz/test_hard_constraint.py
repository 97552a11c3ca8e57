"""What is known of an ansatz, apart from what is to be differentiated."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.ansatz.guess import no_guess
from stde_cli.ansatz.hard_constraint import HardConstraint, without_network
from stde_cli.expressions import Field, Layout
from stde_cli.problem.constraints import (
    AbstractConstraint,
    Unconstrained,
    VanishOnSphere,
    VanishWhere,
)
from stde_cli.problem.operators import PartlyKnown
from tests.helpers import NetworkKind, point_inside, random_guess, random_network

DIM = 5
LAYOUT = Layout(("t", ("x", DIM - 1)))
SPANS = [(0, DIM), (1, DIM), (2, 4), (0, 1)]


def field(text: str) -> Field:
    return Field.parse(text, LAYOUT, {}, where="text")


def plain(x):
    return jnp.sin(x[0] * x[2]) + x[1] ** 3


CONSTRAINTS: dict[str, AbstractConstraint] = {
    "sphere": VanishOnSphere(1.3),
    "text": VanishWhere(field("t*(1 - norm2(x))*exp(x1)")),
    "none": Unconstrained(),
}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraints_know_their_derivatives(name: str, float64: None) -> None:
    constraint, x = CONSTRAINTS[name], point_inside(DIM)

    def both(x):
        gradient, second = jax.grad(constraint)(x), jnp.diag(jax.hessian(constraint)(x))
        return [
            (
                constraint.value_gradient_laplacian(x, range(*span)),
                (constraint(x), gradient[slice(*span)], jnp.sum(second[slice(*span)])),
            )
            for span in SPANS
        ]

    for ours, theirs in jax.jit(both)(x):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("constraint", "lift", "network"),
    [
        ("sphere", None, "mlp"),
        ("sphere", plain, "additive_mlp"),
        ("text", "exp(-t)*sum(i, sin(x[i])*x[i+1])", "additive_mlp"),
        ("none", "norm2(x)", "mlp"),
    ],
    ids=["ball", "a plain lift", "text", "no constraint"],
)
def test_the_parts_of_an_ansatz_are_the_whole(
    constraint: str, lift: Any, network: NetworkKind, float64: None
) -> None:
    c, lift = CONSTRAINTS[constraint], field(lift) if isinstance(lift, str) else lift
    guess = random_guess(c, LAYOUT.family_range, single=(0,), degree=2)
    part = random_network(DIM, network, width=3, depth=2)
    u = HardConstraint(part, c, jnp.array(1.7), guess, lift)
    assert isinstance(u, PartlyKnown)
    rest, known = u.split()
    # Nothing that is known is left in what is to be sampled.
    assert isinstance(rest, HardConstraint)
    assert rest.guess is None
    assert not isinstance(rest.network, PartlyKnown)
    assert rest.lift is (plain if lift is plain else None)

    def by_hand(x):
        radial = guess.powers[0] + guess.powers[1] * c(x)
        inner = radial + guess.polynomials(x) + 1.7 * u.network(x)
        return (lift(x) if lift else 0) + c(x) * inner

    def all_of(x):
        derivatives = [(f(x), jax.grad(f)(x), jnp.diag(jax.hessian(f)(x))) for f in (by_hand, rest)]
        triples = [known.value_gradient_laplacian(x, range(*span)) for span in SPANS]
        return u(x), known(x), derivatives, triples

    value, part, (whole, sampled), triples = jax.jit(all_of)(point_inside(DIM))
    np.testing.assert_allclose(value, whole[0], rtol=1e-12)
    np.testing.assert_allclose(part, whole[0] - sampled[0], rtol=1e-11)
    slopes, seconds = (np.asarray(a - b) for a, b in zip(whole[1:], sampled[1:], strict=True))
    for span, (u_known, gradient, laplacian) in zip(SPANS, triples, strict=True):
        np.testing.assert_allclose(u_known, part, rtol=1e-12)
        np.testing.assert_allclose(gradient, slopes[slice(*span)], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(laplacian, seconds[slice(*span)].sum(), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("lift", [None, "norm2(x)*t", plain], ids=["none", "text", "plain"])
def test_the_ansatz_without_a_network(lift: Any, float64: None) -> None:
    c, lift = CONSTRAINTS["sphere"], field(lift) if isinstance(lift, str) else lift
    guess, x = random_guess(c, range(DIM)), point_inside(DIM)
    expected = (lift(x) if lift else 0) + c(x) * guess(x)
    np.testing.assert_allclose(without_network(c, guess, lift)(x), expected, rtol=1e-13)


def test_no_guess_is_zero(float64: None) -> None:
    guess, x = no_guess(CONSTRAINTS["text"]), point_inside(DIM)
    found, (value, gradient, laplacian) = jax.jit(
        lambda x: (guess(x), guess.value_gradient_laplacian(x, range(DIM)))
    )(x)
    assert (found, value, laplacian) == (0, 0, 0)
    assert not gradient.any()
