"""The derivatives that `stde predict` is asked for by name."""

import pytest

from stde_cli.expressions import Layout
from stde_cli.jobs.trained import parse_derivatives
from stde_cli.problem.operators import Laplacian, Partial
from stde_cli.system.errors import UsageError

LAYOUT = Layout(("t", "tt", ("x", 3)))


def test_operators_by_name():
    names = ["laplacian", "u_tx2", "u_t_t", "partial(u, tt)"]
    found = parse_derivatives(names, LAYOUT)
    assert list(found) == names
    assert isinstance(found["laplacian"], Laplacian)
    partials = [found[name] for name in names[1:]]
    assert partials == [Partial((0, 3)), Partial((0, 0)), Partial((1,))]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("u_tt", r"can be read as partial\(u, t, t\) or as partial\(u, tt\)"),
        ("partial(u, x1, y)", r"^derivatives: the name y is not known at column 16"),
        ("partial(u, t) + u", "unknown derivative"),
        ("u_x4", "partials in t to x3"),
    ],
)
def test_refused(name, told):
    with pytest.raises(UsageError, match=told):
        parse_derivatives([name], LAYOUT)
