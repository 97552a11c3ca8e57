import pytest

from stde_cli.expressions import Layout
from stde_cli.system.errors import UsageError


def test_positions_and_names():
    layout = Layout(("t", ("x", 10), "y"))
    assert layout.dim == 12
    assert layout.family == "x"
    assert layout.family_range == range(1, 11)
    assert layout.space == range(1, 11)
    assert [layout.index("t"), layout.index("x", 1), layout.index("x", 10)] == [0, 1, 10]
    assert layout.index("y") == 11
    assert [layout.label(k) for k in (0, 1, 10, 11)] == ["t", "x1", "x10", "y"]


def test_without_a_family_space_is_all_but_time():
    layout = Layout(("x", "t", "y"))
    assert (layout.family, layout.family_range, tuple(layout.space)) == (None, range(0), (0, 2))


@pytest.mark.parametrize(("name", "number"), [("y", None), ("x", 0), ("x", 4), ("t", 1)])
def test_no_such_entry(name, number):
    with pytest.raises(KeyError):
        Layout(("t", ("x", 3))).index(name, number)


@pytest.mark.parametrize(
    ("text", "positions"),
    [
        ("t", [(0,)]),
        ("tt", [(0, 0), (4,)]),
        ("ttx1", [(0, 0, 1), (4, 1)]),
        ("t_t", [(0, 0)]),
        ("t_tt", [(0, 0, 0), (0, 4)]),
        ("x3x3", [(3, 3)]),
        ("tx1", [(0, 1)]),
        ("x4", []),
        ("x", []),
        ("", []),
        ("t_", []),
        ("_t", []),
        ("z", []),
        ("x" + "9" * 5000, []),
    ],
)
def test_names_written_together(text, positions):
    assert Layout(("t", ("x", 3), "tt")).readings(text) == tuple(positions)


@pytest.mark.parametrize(
    ("names", "text", "readings"),
    [
        ("a ab bc", "abc", ["a bc"]),
        ("a ab bc c", "abc", ["a bc", "ab c"]),
        ("aa aaa", "aaaaa", ["aa aaa", "aaa aa"]),
        ("ab a b1 b", "ab1", ["a b1"]),
    ],
)
def test_no_letter_is_skipped(names, text, readings):
    layout = Layout(tuple(names.split()))
    expected = tuple(tuple(layout.index(n) for n in reading.split()) for reading in readings)
    assert layout.readings(text) == expected


def test_readings_are_found_without_trying_them_all():
    layout = Layout(tuple("a" * n for n in range(1, 41)))
    assert layout.readings("a" * 60 + "b") == ()
    first, last = layout.readings("a" * 2000)
    assert (len(first), len(last)) == (2000, 50)


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ((), "needs an entry"),
        (("u",), "reserved"),
        (("pi",), "reserved"),
        (("sin",), "reserved"),
        (("a_b",), "is no name"),
        (("é",), "is no name"),
        (("x", "x"), "occurs twice"),
        (("x1", ("x", 3)), "cannot be told"),
        ((("x1", 3),), "cannot be told"),
        ((("x", 3), ("y", 3)), "only one family"),
        ((("x", 0),), "needs an entry"),
    ],
)
def test_refused(parts, why):
    with pytest.raises(UsageError, match=why):
        Layout(parts)
