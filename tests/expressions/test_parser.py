import pickle

import pytest

from stde_cli.cli import main as cli
from stde_cli.expressions import (
    Derivative,
    Drift,
    ExpressionError,
    GradNorm2,
    Laplacian,
    Layout,
    Partial,
    Polyharmonic,
    SumOfPartials,
    Target,
    Trace,
    derivatives,
    parse,
    render,
)
from stde_cli.expressions.layout import OPERATORS
from stde_cli.expressions.operators import OPERATORS as READ
from stde_cli.system.errors import UsageError
from tests.expressions.cases import DIM, EVERYTHING, FAMILY, NAMED, PARAMETERS, read

REFUSED = {
    # Syntax.
    "x1.real": (1, "a dot"),
    "(1).__class__": (1, "a dot"),
    "lambda: 1": (1, "functions cannot be defined"),
    "[1, 2]": (1, "a list"),
    "sum(i, [x1 for y in x])": (8, "a comprehension"),
    "sin(x1 for y in x)": (4, "a comprehension"),
    "'x1'": (1, "is not part"),
    'f"{x1}"': (2, "is not part"),
    "{1: 2}": (1, "is not part"),
    "(y := 1)": (2, "cannot be assigned"),
    "x1 < 2": (1, "a comparison"),
    "x1 == 2": (1, "a comparison"),
    "x1 and t": (1, "and, or"),
    "not x1": (1, "this sign"),
    "~t": (1, "this sign"),
    "t if x1 else 2": (1, "if is not"),
    "sin(*x)": (5, "a star"),
    "sin(a=t)": (7, "arguments are not named"),
    "sin(**c)": (7, "arguments are not named"),
    "t, x1": (1, "a comma"),
    "t # time": (3, "is not part"),
    "t; x1": (2, "is not part"),
    "t\0": (2, "is not part"),
    "yield": (1, "not an expression"),
    "import os": (1, "not an expression"),
    "__import__(t)": (1, "function __import__ is not known"),
    "__name__": (1, "name __name__ is not known"),
    "True": (1, "this is no number"),
    "None": (1, "this is no number"),
    "...": (1, "this is no number"),
    "2j": (1, "this is no number"),
    "": (1, "there is no expression"),
    "  \n ": (1, "there is no expression"),
    "(t": (1, "not an expression"),
    "t +": (4, "not an expression"),
    "2t": (1, "write \\* between factors"),
    "2(t)": (1, "write \\* between factors"),
    "t ^ 2": (3, "write \\*\\* for powers"),
    "(t) ^ 2": (5, "write \\*\\* for powers"),
    "t // 2": (3, "write / to divide"),
    "t % 2": (3, "remainder"),
    "t | 2": (3, "is not part"),
    "u_t = u": (5, "left side minus the right"),
    "t − 1": (3, "write -"),
    "t²": (2, "write \\*\\*2"),
    "ｘ1": (1, "plain ASCII"),
    "ѕin(t)": (1, "plain ASCII"),
    # Sizes.
    "1e301": (1, "larger than"),
    "1e999": (1, "larger than"),
    "1" + "0" * 400: (1, "larger than"),
    "9" * 5000: (1, "the number is too long"),
    "-" * 150 + "t": (101, "nested more than 100"),
    "-" * 9000 + "t": (None, "nested"),
    "(" * 250 + "t" + ")" * 250: (None, "not an expression|nested"),
    "sin(" * 150 + "t" + ")" * 150: (None, "nested"),
    "(" * 5000: (None, "not an expression|nested"),
    "x1**" * 2000 + "2": (None, "nested"),
    "t+" * 5000 + "t": (10001, "longer than 10000"),
    # Names.
    "foo": (1, "name foo is not known"),
    "nuu*t": (1, "did you mean nu"),
    "sine(t)": (1, "did you mean sin"),
    "ln(t)": (1, "write log"),
    "t(2)": (1, "t is no function"),
    "sin + 1": (1, "write sin"),
    "(t+1)(x1)": (2, "only a name can be called"),
    "x7": (1, "x has no entry 7"),
    "x0": (1, "x has no entry 0"),
    "x" + "9" * 5000: (1, "x has no entry"),
    "u_z": (1, "u_z is no partial"),
    "u_x": (1, "after u_ write coordinates: t, x1"),
    "u_x7": (1, "is no partial"),
    # Shapes and subscripts.
    "x": (1, "a vector stands where"),
    "c + 1": (1, "a vector stands where"),
    "A": (1, "the matrix A stands alone"),
    "dot(x, t)": (8, "a number stands where"),
    "dot(x, pair)": (1, "vectors of 2 and 6"),
    "dot(x + pair, x)": (5, "vectors of 2 and 6"),
    "dot(A @ pair, x)": (5, "6 columns and the vector 2"),
    "dot(c @ x, x)": (5, "left of @"),
    "dot(A @ A @ x, x)": (5, "write A @ v"),
    "x[7]": (3, "x has no entry 7"),
    "x[0]": (3, "numbered 1 to 6"),
    "c[" + "9" * 400 + "]": (3, "c has no entry"),
    "x[-1]": (3, "only a number or index"),
    "x[1.5]": (3, "only a number or index"),
    "x[1:2]": (3, "only a number or index"),
    "x[True]": (3, "only a number or index"),
    "x[1, 2]": (1, "takes 1 number"),
    "A[1]": (1, "takes 2 numbers"),
    "t[1]": (1, "t is one number"),
    "nu[1]": (1, "nu is one number"),
    "sin(x)[1]": (1, "only names"),
    "d[1]": (1, "vector d is not known"),
    "x[i]": (3, "the index i belongs to no sum"),
    "sum(i, x[j])": (10, "the index j belongs to no sum"),
    "sum(i, x[2*i])": (10, "only a number or index"),
    "sum(i, x[i+i])": (10, "only a number or index"),
    "sum(i, i*x[i])": (8, "an index is no number"),
    "sum(i, t)": (5, "index i is not used"),
    "sum(i, x)": (8, "a vector stands where"),
    "sum(t, x[t])": (5, "t cannot be an index"),
    "sum(c, x[c])": (5, "c cannot be an index"),
    "sum(2, t)": (5, "must be an index"),
    "sum(i, sum(i, x[i]))": (12, "in use already"),
    "sum(i, x[i+6])": (10, "the offset is too large"),
    "sum(i, x[i+4]*x[i-4])": (1, "has no term"),
    "sum(x1)": (1, "sum takes 2 arguments, not 1"),
    "sin(t, t)": (1, "sin takes 1 argument, not 2"),
    "min(t)": (1, "min takes 2 arguments, not 1"),
    # Index lists.
    "x[c[1]]": (3, "c must hold whole numbers alone"),
    "sum(i, x[half[i]])": (10, "half must hold whole numbers alone"),
    "sum(i, x[zero[i]])": (10, "zero holds 0, and x has no entry 0"),
    "sum(i, pair[p[i]])": (
        13,
        "p holds 3, and pair has no entry 3",
    ),
    "x[two[3]]": (7, "two has no entry 3"),
    "x[A[1]]": (3, "give it as a parameter p"),
    "x[x[1]]": (3, "give it as a parameter p"),
    "sum(i, x[p[q[i]]])": (12, "cannot be read through another"),
    "sum(i, c[i]*x[two[i]])": (1, "two lists 2 entries, and c has 6"),
    "sum(i, pair[i]*x[p[i+1]])": (1, "p lists 6 entries, and pair has 2"),
    "sum(i, partial(u, x[p[i]]))": (19, "not at what a list holds there"),
    "diff(sum(i, x[p[i]]**2), x3)": (13, "cannot be differentiated in a numbered"),
    # The unknown.
    "laplacian(t)": (11, "takes u itself"),
    "laplacian(laplacian(u))": (11, "write biharmonic"),
    "grad(u)": (1, "cannot stand here"),
    "dot(pair, grad(u))": (1, "has 2 entries and the gradient 6"),
    "dot(u_t*c, grad(u))": (1, "free of f and derivatives"),
    "partial(u)": (1, "write partial"),
    "partial(u*t, t)": (9, "write diff"),
    "partial(u, x)": (12, "in coordinates alone"),
    "partial(u, 2)": (12, "in coordinates alone"),
    "polyharmonic(u, t)": (17, "whole number"),
    "polyharmonic(u, 0)": (17, "between 1 and 10"),
    "trace(pair, u)": (7, "pair is 2, and there are 6"),
    "trace(B, u)": (7, "B is 2 x 6"),
    "grad_norm2(B, u)": (12, "B is 2 x 6"),
    "grad_norm2(2, u)": (12, "must be a parameter"),
    "grad_norm2(u, u)": (12, "must be a parameter"),
    "grad_norm2(u, c)": (15, "takes u itself"),
    "trace(2, u)": (7, "must be a parameter"),
    "div(u)": (5, "div takes"),
    "div(u_t*grad(u))": (5, "free of f and derivatives"),
    "div(sin(x)*dot(x, x)*u)": (5, "entry i of the point alone"),
    "sum(i, partial(u, x[i])**2)": (8, "grad_norm2"),
    "sum(i, sin(partial(u, x[i])))": (12, "may only be multiplied"),
    "sum(i, partial(u, x[i])*partial(u, x[i], x[i]))": (8, "may only be multiplied"),
    "diff(laplacian(u), t)": (6, "laplacian cannot be differentiated"),
    "diff(f, t)": (6, "f cannot be differentiated"),
    "diff(t, nu)": (9, "in one coordinate"),
    "sum(i, diff(x[i], x1))": (13, "put the sum within diff"),
    "diff(" + "*".join(["x1"] * 101) + ", x1)": (6, "over 100"),
    "diff(" * 3 + "*".join(["x1"] * 100) + ", x1)" * 3: (11, "too long"),
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda t: t[:30])
def test_refused_with_its_place_and_a_caret(text):
    column, why = REFUSED[text]
    with pytest.raises(ExpressionError, match=why) as caught:
        read(text)
    error = caught.value
    assert error.status == 2
    message = str(error)
    assert message.startswith("pde.residual: ")
    assert len(message) < 400
    assert "\n" not in message
    shown, caret = error.detail.split("\n")
    assert len(shown) < 120
    assert caret.strip() == "^"
    if column is not None:
        assert f"at column {column}" in message
    if column is not None and len(text) < 90:
        assert caret.index("^") == column - 1 + 2
        assert shown[2:] == "".join(c if c.isprintable() else " " for c in text)


def test_the_caret_in_a_long_text_stays_under_the_fault():
    text = "t + " * 100 + "foo" + " + t" * 100
    with pytest.raises(ExpressionError, match="column 401") as caught:
        read(text)
    shown, caret = caught.value.detail.split("\n")
    assert shown[caret.index("^") :].startswith("foo")


def test_lines_of_yaml_are_one_text():
    assert read("u_t\n  - nu *\n laplacian(u)\n") == read("u_t - nu*laplacian(u)")
    with pytest.raises(ExpressionError, match="column 5"):
        read("t +\nfoo")


def test_a_number_of_yaml_is_an_expression():
    assert render(parse(0, FAMILY, {}, where="initial")) == "0"
    assert render(parse(1.5, FAMILY, {}, where="initial")) == "1.5"


@pytest.mark.parametrize("text", ["u", "u_t", "laplacian(u)", "partial(u, t)", "div(c*u)"])
def test_the_unknown_only_where_it_is_allowed(text):
    with pytest.raises(ExpressionError, match="unknown u cannot be used"):
        parse(text, FAMILY, PARAMETERS, where="initial", allow=frozenset())


def test_the_source_only_where_it_is_allowed():
    with pytest.raises(ExpressionError, match="source f cannot be used"):
        parse("u - f", FAMILY, PARAMETERS, where="initial", allow=frozenset({"u"}))


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("u", 1, "reserved"),
        ("u_t", 1, "reserved"),
        ("sin", 1, "reserved"),
        ("__a", 1, "is no name"),
        ("t", 1, "a coordinate's"),
        ("x", 1, "a coordinate's"),
        ("x12", 1, "a coordinate's"),
        ("a b", 1, "is no name"),
        ("a", [[[1.0]]], "more than two axes"),
    ],
)
def test_parameters_that_cannot_be(name, value, why):
    with pytest.raises(UsageError, match=why):
        parse("1", FAMILY, {name: value}, where="initial")


def test_errors_survive_pickling_with_their_detail():
    with pytest.raises(ExpressionError) as caught:
        read("foo")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.detail) == (str(caught.value), caught.value.detail)
    assert isinstance(copy, ExpressionError)


def test_the_command_shows_the_caret(monkeypatch, capsys):
    def refuse(*_):
        read("t ^ 2")

    monkeypatch.setattr(cli, "_run", refuse)
    assert cli.main(["solve"]) == 2
    first, text, caret = capsys.readouterr().err.splitlines()
    assert first.startswith("stde: pde.residual: ^ is not part")
    assert (text, caret) == ("  t ^ 2", "    ^")


SINGLE = {
    "u_xxxy": Partial((0, 0, 0, 2), "u_xxxy"),
    "partial(u, x, y, x, x)": Partial((0, 0, 0, 2), "u_xxxy"),
    "u_tx": Partial((0, 1), "u_xt"),
    "diff(diff(u, t), x)": Partial((0, 1), "u_xt"),
    "laplacian(u)": Laplacian(),
    "polyharmonic(u, 1)": Laplacian(),
    "div(grad(u))": Laplacian(),
    "biharmonic(u)": Polyharmonic(2),
    "polyharmonic(u, 3)": Polyharmonic(3),
    "grad_norm2(u)": GradNorm2(),
    "norm2(grad(u))": GradNorm2(),
    "dot(grad(u), grad(u))": GradNorm2(),
    "div(pair*u)": read("dot(pair, grad(u))", NAMED),
}


@pytest.mark.parametrize("text", SINGLE)
def test_one_derivative(text):
    node = read(text, NAMED)
    assert node == SINGLE[text]
    assert hash(node) == hash(SINGLE[text])
    assert isinstance(node, Derivative)
    assert derivatives(node) == (node,)
    assert node.name == SINGLE[text].name


NAMES = {
    "u_x3x3": "u_x3x3",
    "u_x1t": "u_tx1",
    "laplacian(u)": "laplacian",
    "biharmonic(u)": "biharmonic",
    "polyharmonic(u, 3)": "polyharmonic_3",
    "grad_norm2(u)": "grad_norm2",
    "dot(c, grad(u))": "drift_c",
    "dot(grad(u), 2*x)": "drift(2*x[i])",
    "trace(A, u)": "trace_A",
    "trace(c, u)": "trace_c",
    "grad_norm2(A, u)": "grad_norm2_A",
    "sum(k, partial(u, x[k], x[k], x[k], x[k]))": "sum_i_u_iiii",
    "sum(i, partial(u, x[i], x[i], t))": "sum_i_u_tii",
    "sum(i, sum(j, partial(u, x[i], x[j], x[i], x[j])))": "sum_ij_u_iijj",
    "sum(i, c[i]*partial(u, x[i]))": "sum_i_(c[i])*u_i",
    "sum(i, partial(u, x[i])/c[i])": "sum_i_((1)/(c[i]))*u_i",
    "sum(i, partial(u, x[i], x[i+1]))": "sum_i[1..5]_u_i(i+1)",
}


@pytest.mark.parametrize("text", NAMES)
def test_names_of_derivatives(text):
    assert [d.name for d in derivatives(read(text))] == [NAMES[text]]


def test_names_of_which_one_begins_another_are_kept_apart():
    layout = Layout(("x", "xx", "xy", "y"))
    texts = ("partial(u, x, x)", "partial(u, xx)", "partial(u, x, y)", "partial(u, xx, y)")
    names = ("u_x_x", "partial(u, xx)", "u_x_y", "partial(u, xx, y)")
    for text, name in zip(texts, names, strict=True):
        node = read(text, layout)
        assert isinstance(node, Partial)
        assert node.name == name
        assert read(name, layout) == node


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("u_xx", "u_xx can be read as partial(u, x, x) or as partial(u, xx) at column 5"),
        ("u_xxy", "as partial(u, x, x, y) or as partial(u, xx, y)"),
        ("u_" + 50 * "y" + 50 * "xy", "as partial(u, ..., y, x, y, x, y, x, y, ...) or as partial"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(text, told):
    with pytest.raises(ExpressionError) as refused:
        read(f"t + {text}", Layout(("x", "xx", "xy", "y", "t")))
    message = str(refused.value)
    assert told in message
    assert "write the one that is meant" in message
    assert refused.value.detail.splitlines()[1].index("^") == 6


def test_sums_of_partials_are_one_derivative():
    node = read("sum(i, (1 + x[i]**2)*sum(j, -2*c[j]*partial(u, x[i], x[j], x[j], t)))")
    (found,) = derivatives(node)
    assert isinstance(found, SumOfPartials)
    assert found.indices == ("i", "j")
    assert found.bounds == ((0, DIM), (0, DIM))
    assert found.targets == (Target("i", 0, 1), Target("j", 0, 2))
    assert (found.fixed, found.order) == ((0,), 4)
    assert render(found.coefficient) == "(1 + (x[i])**(2))*c[j]"
    assert render(node).startswith("(-2)*sum_ij")


def test_a_sum_of_partials_and_other_terms_is_taken_apart():
    node = read("sum(i, x[i+1]*u + partial(u, x[i], x[i]) - u_t)")
    assert [d.name for d in derivatives(node)] == ["sum_i[1..5]_u_ii", "u_t"]
    assert render(node) == "(u*sum(i=1..5, x[i+1]) + sum_i[1..5]_u_ii + (-5)*u_t)"


def test_terms_of_a_sum_stay_together_where_nothing_is_gained():
    assert render(read("sum(i, sin(x[i]) + 2*x[i+1])")) == "sum(i=1..5, (sin(x[i]) + 2*x[i+1]))"
    text = "(t*sum(i=1..6, x[i]) + sum(i=1..6, (sin(x[i]) + (-1)*x[i])))"
    assert render(read("sum(i, sin(x[i]) + t*x[i] - x[i])")) == text


def test_derivatives_come_once_in_order_of_appearance():
    node = read("u_tt - u*laplacian(u) + u_t*u_tt - trace(nu, u) + dot(c, grad(u))")
    assert [d.name for d in derivatives(node)] == ["u_tt", "laplacian", "u_t", "drift_c"]
    assert isinstance(derivatives(node)[-1], Drift)
    assert isinstance(read("trace(c, u)"), Trace)


def test_columns_do_not_tell_expressions_apart():
    assert read("t  +  sin( x1 )") == read("t + sin(x1)")
    assert read("t + x1") != read("t + x2")


@pytest.mark.parametrize("text", ["9**9**9**9", "9**9**9**9**9*t", "2**(9**99)", "1e300*1e300"])
def test_constants_are_never_folded(text):
    assert derivatives(read(text)) == ()


def test_a_long_flat_text_is_no_deep_one():
    read("+".join(["t"] * 400))
    read("*".join(["t"] * 400))


def test_index_names_do_not_matter():
    assert read("sum(k, x[k]*x[k+1])") == read("sum(j, x[j]*x[j+1])")


def test_everything_is_allowed_at_once():
    assert parse("u + f", FAMILY, {}, where="w", allow=EVERYTHING) == read("u + f")


def test_each_operator_of_the_language_is_read():
    assert READ.keys() == OPERATORS
