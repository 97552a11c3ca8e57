"""Fields against nested derivatives of their plain value, and against the value where they move."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.autodiff.directions import DenseDirections, all_coordinates
from stde_cli.autodiff.restriction import Restrictable
from stde_cli.expressions import Field, Layout
from tests.expressions.cases import DIM, FAMILY, NAMED, PARAMETERS, point
from tests.helpers import coordinate_directions, jaxpr_shapes

FIELDS = [
    "3",
    "t*x3 + exp(-x1*x6)",
    "norm2(x)",
    "sum(i, c[i]*sin(x[i]*x[i+1]))",
    "exp(-nu*t)*sum(i, short[i]*exp(x[i]*x[i+1]*x[i+2]))",
    "sum(i, x[i+2]**2*tanh(x[i-1]))/(1 + norm2(x)) - x2",
    "(1 - norm2(x))*sum(i, c[i]*sin(x[i] + cos(x[i+1]) + x[i+1]*cos(x[i])))",
    "sum(i, sin(x[i] - t*x2))**2",
    "sum(i, sqrt(x[i]*norm2(x) + x[i+1]))",
    "sum(i, sum(j, x[i]*x[j]**2*x[j+1]))",
    "dot(x, A @ x)*t",
    "sum(i, max(x[i], 0.6)*sech(x[i]))",
    "sum(i, c[i])*t",
    # Through index lists: a permutation, and one that holds a number thrice and lacks others.
    "(1 - norm2(x))*sum(i, c[i]*sin(x[p[i]] + cos(x[p[i+1]]) + x[p[i+1]]*cos(x[p[i]])))",
    "sum(i, x[q[i]]**2*sin(x[q[i+1]]*x[i]))",
    "sum(i, c[q[i]]*x[i]*exp(x[p[i]]*x[q[i]]))*t",
    "sum(i, x[two[i]]*norm2(x)*pair[i])",
    "sum(i, sum(j, x[p[i]]*x[q[j]]**2*sin(x[p[j]] + A[p[i], q[j]])))",
    "x[p[3]]*sum(i, x[two[i]])",
    # Terms that are alike are gathered: with weights, within each other, and one coordinate twice.
    "(1 - norm2(x))*(sin(x3*x1) - 2*sin(x1*x4) + sin(x2*x2) - sin(x5*x3)/2 - 3*sin(x1*x6) + x2)",
    "exp(x4 - x1 - 2*x2 + x3)*t + exp(-(x5 + x6 + x1 - x2)) + exp(x2 + x4 - x1 + x3) + exp(-t)",
    "c[1]*cos(0.5*x2 - t) + c[4]*cos(2*x3 - t) - 3*c[2]*cos(x4 - t) + c[2]*cos(x1 - t)",
    "A[1, 2]*x1**2*x2 + A[2, 3]*x2**2*x3 + A[3, 3]*x3**2*x6 + A[2, 2]*x5**2*x3 + x1**3*x2 - t",
    "t*x1 + t*x2 + t*x3 + t*x6 + norm2(x)*x1 + norm2(x)*x5 + norm2(x)*x2 + norm2(x)*x4",
]


ALIKE = "sin(x*y)*exp(-t) + sin(y*t)*exp(-x) - 0.5*sin(t*x)*exp(-y) + 2*sin(x*x)*exp(-x)"


def field(text, layout=FAMILY):
    return Field.parse(text, layout, PARAMETERS, where="solution")


def check_triple(u, x, over):
    span = slice(over.start, over.stop)

    @jax.jit
    def both(x):
        nested = u(x), jax.grad(u)(x)[span], jnp.trace(jax.hessian(u)(x)[span, span])
        return u.value_gradient_laplacian(x, over), nested

    (value, *derivatives), (expected, *nested) = both(x)
    assert derivatives[0].shape == (len(over),)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    for ours, theirs in zip(derivatives, nested, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("text", FIELDS)
def test_value_gradient_and_laplacian(float64, text):
    check_triple(field(text), point(), FAMILY.family_range)


@pytest.mark.parametrize("over", [range(7), range(3, 5), range(1)])
@pytest.mark.parametrize("text", [FIELDS[5], FIELDS[7], FIELDS[8], FIELDS[14]])
def test_over_other_coordinates(float64, text, over):
    check_triple(field(text), point(), over)


@pytest.mark.parametrize("text", ["sin(x*y)*exp(-t)", "x**3 - t*y**2", "arctan(x/y)*erf(t)", ALIKE])
def test_without_a_family(float64, text):
    check_triple(field(text, NAMED), point(NAMED), range(3))


DIRECTIONS = {
    "one": lambda: coordinate_directions([4]),
    "time": lambda: coordinate_directions([0, 2], [1.0, -2.0]),
    "ends": lambda: coordinate_directions([1, 6], [1.0, 0.5]),
    "neighbours": lambda: coordinate_directions([3, 4], [0.7, 1.1]),
    "repeated": lambda: coordinate_directions([3, 0, 3, 3], [1.0, -0.5, 2.0, 0.3]),
    "padded": lambda: coordinate_directions([6, 6], [1.0, 0.0]),
    "all": lambda: all_coordinates(FAMILY.dim),
    "dense": lambda: DenseDirections(
        jnp.asarray(np.random.default_rng(7).standard_normal((3, FAMILY.dim))), jnp.ones(3)
    ),
}


@pytest.mark.parametrize("text", FIELDS)
def test_restriction_is_the_field_where_it_moves(float64, text):
    u, x = field(text), point()
    assert isinstance(u, Restrictable)

    @jax.jit
    def both(x, directions, s):
        return u.restrict(x, directions)(s), u(directions.displace(x, s))

    for name, make in DIRECTIONS.items():
        directions = make()
        steps = 0.1 * np.random.default_rng(6).standard_normal((2, directions.weights.size))
        for s in steps:
            actual, expected = both(x, directions, s)
            np.testing.assert_allclose(actual, expected, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("window", ["x[i]", "x[i]*x[i+1]", "x[i-1]*x[i]*x[i+2]"])
def test_each_touched_term_counts_once_far_from_dense(float64, window):
    """Few directions in many coordinates: the terms are listed, sorted and told apart."""
    layout = Layout(("t", ("x", 60)))
    parameters = {"w": np.random.default_rng(3).standard_normal(60)}
    u = Field.parse(f"t*sum(i, w[i]*sin({window}))", layout, parameters, where="solution")
    x = point(layout)

    @jax.jit
    def both(indices, lengths, s):
        v = coordinate_directions([0] * 4)
        v = eqx.tree_at(lambda v: (v.indices, v.lengths), v, (indices, lengths))
        return u.restrict(x, v)(s), u(v.displace(x, s))

    generator = np.random.default_rng(4)
    cases = [[1, 1, 2, 3], [60, 59, 58, 60], [0, 30, 31, 33], [0, 0, 0, 0]]
    cases += generator.integers(0, 61, (20, 4)).tolist()
    for indices in cases:
        actual, expected = both(jnp.array(indices), *generator.standard_normal((2, 4)))
        np.testing.assert_allclose(actual, expected, rtol=1e-11, err_msg=str(indices))


@pytest.mark.parametrize("window", ["x[p[i]]*x[p[i+1]]", "x[q[i]] + t*0 + x[i]*x[q[i-1]]"])
def test_terms_are_found_through_index_lists(float64, window):
    layout, generator = Layout(("t", ("x", 60))), np.random.default_rng(5)
    parameters = {
        "w": generator.standard_normal(60),
        "p": generator.permutation(60) + 1,
        # Some numbers thrice, and many not at all.
        "q": np.concatenate([np.repeat(generator.choice(40, 10) + 1, 3), np.arange(31, 61)]),
    }
    u = Field.parse(f"sum(i, w[i]*sin({window}))", layout, parameters, where="solution")
    x = point(layout)

    @jax.jit
    def both(indices, lengths, s):
        v = coordinate_directions([0] * 4)
        v = eqx.tree_at(lambda v: (v.indices, v.lengths), v, (indices, lengths))
        return u.restrict(x, v)(s), u(v.displace(x, s))

    listed = parameters["q"][[0, 3, 3, 40]].tolist()
    for indices in [listed, [1, 1, 60, 0], *generator.integers(0, 61, (10, 4)).tolist()]:
        actual, expected = both(jnp.array(indices), *generator.standard_normal((2, 4)))
        np.testing.assert_allclose(actual, expected, rtol=1e-11, err_msg=str(indices))


@pytest.mark.parametrize("window", ["x[i]*x[i+1]", "x[p[i]]*x[p[i+1]]"])
def test_nothing_of_size_directions_times_dim_is_formed(window):
    dim, count = 3000, 8
    layout = Layout((("x", dim),))
    parameters = {"w": np.ones(dim), "p": np.random.default_rng(1).permutation(dim) + 1}
    text = f"(1 - norm2(x))*sum(i, w[i]*sin({window}))"
    u = Field.parse(text, layout, parameters, where="solution")
    directions = coordinate_directions(list(range(0, 8 * count, 8)))

    def second(x):
        return jax.jacfwd(jax.jacfwd(u.restrict(x, directions)))(jnp.zeros(count))

    jaxpr = jax.make_jaxpr(second)(jnp.ones(dim))
    assert max(np.prod(shape) for shape in jaxpr_shapes(jaxpr.jaxpr)) <= dim + 1

    def triple(x):
        return u.value_gradient_laplacian(x, layout.family_range)

    jaxpr = jax.make_jaxpr(triple)(jnp.ones(dim))
    assert max(np.prod(shape) for shape in jaxpr_shapes(jaxpr.jaxpr)) <= 2 * dim


def test_a_field_is_a_tree_of_the_parameters_it_uses(float64):
    u = field("nu*dot(c, x)")
    assert sorted(u.parameters) == ["c", "nu"]
    assert [leaf.shape for leaf in jax.tree.leaves(u)] == [(DIM,), ()]
    xs = jnp.stack([point(), 2 * point()])
    values = eqx.filter_jit(lambda u, xs: jax.vmap(u)(xs))(u, xs)
    np.testing.assert_allclose(values, 0.3 * xs[:, 1:] @ PARAMETERS["c"], rtol=1e-12)


def test_taylor_coefficients_pass_through_a_restriction(float64):
    from jax.experimental import jet

    x = point()
    for text in (FIELDS[1], FIELDS[5], FIELDS[7]):
        g = field(text).restrict(x, coordinate_directions([3, 4]))

        def along(r, g=g):
            return g(r * jnp.array([1.0, -0.5]))

        def both(r, along=along):
            value, terms = jet.jet(along, (r,), ([1.0, 0.0],))
            first = jax.grad(along)
            return (value, *terms), (along(r), first(r), jax.grad(first)(r))

        ours, nested = jax.jit(both)(0.0)
        np.testing.assert_allclose(ours[0], nested[0], rtol=1e-12)
        np.testing.assert_allclose(ours, nested, rtol=1e-10, atol=1e-12)


def _terms(names: list[str]) -> str:
    ends = [*names[1:], names[0]]
    return " + ".join(
        f"{k}.5*sin({a} + cos({b}))" for k, (a, b) in enumerate(zip(names, ends, strict=True))
    )


@pytest.mark.parametrize(
    ("layout_of", "names_of"),
    [
        (lambda n: Layout((("x", n),)), lambda n: [f"x{k}" for k in range(1, n + 1)]),
        (
            lambda n: Layout(tuple(f"y{k}e" for k in range(n))),
            lambda n: [f"y{k}e" for k in range(n)],
        ),
    ],
    ids=["a family", "names"],
)
def test_programs_do_not_grow_with_terms_that_are_alike(layout_of, names_of):
    """Neither value, derivatives nor restriction; that they are right is the tables' to say."""

    def values(n: int) -> list[int]:
        u = Field.parse(_terms(names_of(n)), layout_of(n), {}, where="solution")
        directions = coordinate_directions([0, 3])
        programs = [
            u,
            lambda x: u.value_gradient_laplacian(x, range(n)),
            lambda x: u.restrict(x, directions)(jnp.zeros(2)),
        ]
        traced = [jax.make_jaxpr(program)(jnp.zeros(n)) for program in programs]
        return [sum(1 for _ in jaxpr_shapes(program.jaxpr)) for program in traced]

    assert values(60) == values(240)
