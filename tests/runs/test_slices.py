"""Grids of points by the names of their coordinates."""

import numpy as np
import pytest

from stde_cli.expressions import Layout
from stde_cli.problem.domains import Ball, Box, Gaussian, Product
from stde_cli.runs.points import open_grid
from stde_cli.runs.slices import Slice
from stde_cli.system.errors import UsageError

LAYOUT = Layout(("t", ("x", 3)))
DOMAIN = Product(Box((0.0, 4.0)), Ball(3))


def test_a_grid_has_all_combinations_and_the_rest_in_the_middle() -> None:
    grid = Slice.parse("x2=-1:1:3, x1 = 0:1:2", LAYOUT, DOMAIN)
    assert (grid.shape, grid.count) == ((3, 2), 6)
    batches = list(grid.batches(4))
    assert [len(batch) for batch in batches] == [4, 2]
    expected = [[2, x1, x2, 0] for x2 in (-1, 0, 1) for x1 in (0, 1)]
    np.testing.assert_array_equal(np.concatenate(batches), expected)


def test_coordinates_may_be_held() -> None:
    grid = Slice.parse("t=0:4:5,x3=0.5", LAYOUT, DOMAIN)
    (points,) = grid.batches(100)
    np.testing.assert_array_equal(points, [[t, 0, 0, 0.5] for t in range(5)])
    assert grid.held == {"x3": 0.5}


def test_the_middle_of_the_whole_space_is_its_mean() -> None:
    layout = Layout(("x", "y"))
    (points,) = Slice.parse("y=1:2:2", layout, Gaussian(2, 3.0)).batches(2)
    np.testing.assert_array_equal(points, [[0, 1], [0, 2]])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["--slice:", "x1=-1:1:200"]),
        ("x1", ["--slice=x1", "coordinate=range"]),
        ("x1=0", ["--slice=x1=0", "no coordinate has a range"]),
        ("x4=0:1:5", ["--slice=x4", "no such coordinate", "t, x1, x2 ... x3"]),
        ("x=0:1:5", ["--slice=x", "no such coordinate"]),
        ("x1x2=0:1:5", ["--slice=x1x2", "no such coordinate"]),
        ("x1=0:1:5,x1=0.5", ["--slice=x1=0.5", "told twice"]),
        ("x1=0:1:5,t=soon", ["--slice=t=soon", "soon is no finite number"]),
        ("x1=0:1:5,t=", ["--slice=t=", "nothing is no finite number"]),
        ("x1=0:1", ["--slice=x1=0:1", "low:high:count"]),
        ("x1=0:1:5:2", ["--slice=x1=0:1:5:2", "low:high:count"]),
        ("x1=0:1:-5", ["--slice=x1=0:1:-5", "low:high:count"]),
        ("x1=0:1:1", ["--slice=x1=0:1:1", "2 or more"]),
        ("x1=1:0:5", ["--slice=x1=1:0:5", "is empty"]),
        ("x1=0:inf:5", ["--slice=x1=0:inf:5", "inf is no finite number"]),
    ],
)
def test_what_is_no_slice_is_refused(text: str, expected: list[str]) -> None:
    with pytest.raises(UsageError) as refused:
        Slice.parse(text, LAYOUT, DOMAIN)
    for part in expected:
        assert part in str(refused.value)


def test_values_are_kept_by_name(tmp_path) -> None:
    """Whatever a coordinate is called."""
    grid = Slice.parse("file=0:1:2,y=0:3:4,t=1", Layout(("t", "file", "y")), Gaussian(3))
    values = open_grid(tmp_path / "u.npz", grid, ["u", "partial(u, y)"])
    points = np.concatenate(list(grid.batches(3)))
    for start in (0, 5):
        batch = points[start : start + 5]
        values.write(np.stack([10 * batch[:, 1] + batch[:, 2], batch[:, 0]], axis=1))
    assert not list(tmp_path.glob("u.npz"))
    values.close()
    kept = dict(np.load(tmp_path / "u.npz"))
    assert {name: array.shape for name, array in kept.items()} == {
        "file": (2,),
        "y": (4,),
        "t": (),
        "u": (2, 4),
        "partial(u, y)": (2, 4),
    }
    np.testing.assert_array_equal(kept["u"], [[0, 1, 2, 3], [10, 11, 12, 13]])
    assert [path.name for path in tmp_path.iterdir()] == ["u.npz"]


def test_more_than_memory_holds_is_refused(tmp_path) -> None:
    grid = Slice.parse("x1=0:1:2000000,x2=0:1:2000000", LAYOUT, DOMAIN)
    with pytest.raises(UsageError, match=r"--slice: 4,000,000,000,000 points take 32000.0 GB"):
        open_grid(tmp_path / "u.npz", grid, ["u"])
