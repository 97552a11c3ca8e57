import numpy as np
import pytest

from stde_cli.runs.points import PointsFile, open_values
from stde_cli.system.errors import UsageError

POINTS = np.array([[0.1, -2.0, 3e-17], [1 / 3, 5.0, -6e200], [7.0, 8.0, 9.0], [0.0, -1.0, 2.0]])


def read(path, dim=3, size=3):
    file = PointsFile(path, dim)
    batches = list(file.batches(size))
    assert all(len(batch) == size for batch in batches[:-1])
    assert file.count == sum(map(len, batches))
    return np.concatenate(batches)


def lines(rows):
    return "".join(",".join(map(repr, map(float, row))) + "\n" for row in rows)


def save(path, array):
    np.save(path, array)
    return path


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize("size", [1, 3, 4, 100])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "uint8"])
def test_npy(tmp_path, dtype, size):
    points = np.arange(12).reshape(4, 3).astype(dtype)
    batch = read(save(tmp_path / "points.npy", points), size=size)
    assert batch.dtype == np.float64
    np.testing.assert_array_equal(batch, points)


def test_npy_in_fortran_order(tmp_path):
    path = save(tmp_path / "points.npy", np.asfortranarray(POINTS))
    np.testing.assert_array_equal(read(path), POINTS)


@pytest.mark.parametrize("size", [1, 3, 4, 100])
@pytest.mark.parametrize("header", ["", "a,b,c\n", "x_1,x_2,x_3\n"])
@pytest.mark.parametrize("blank", ["", "\n", "\r\n"])
def test_csv(tmp_path, header, size, blank):
    path = write(tmp_path / "points.csv", header + blank + lines(POINTS) + blank)
    np.testing.assert_array_equal(read(path, size=size), POINTS)


@pytest.mark.parametrize("ending", ["\r\n", "\n"])
def test_csv_line_endings_and_spaces(tmp_path, ending):
    text = ending.join(["1, 2, 3", "4, 5, 6"])  # And no newline at the end.
    path = tmp_path / "points.csv"
    path.write_bytes(text.encode())
    np.testing.assert_array_equal(read(path), [[1, 2, 3], [4, 5, 6]])


BAD_ON_OPENING = {
    "missing": (lambda d: d / "none.npy", "no such file"),
    "directory": (lambda d: d, "no such file"),
    "format": (lambda d: write(d / "points.txt", "1,2,3\n"), "unknown format; .*npy or a .csv"),
    "width_npy": (lambda d: save(d / "p.npy", np.zeros((2, 4))), "4 coordinates, .*dim=3"),
    "width_csv": (lambda d: write(d / "p.csv", "1,2\n3,4\n"), "2 coordinates, .*dim=3"),
    "empty_npy": (lambda d: save(d / "p.npy", np.zeros((0, 3))), "holds no points"),
    "empty_csv": (lambda d: write(d / "p.csv", ""), "holds no points"),
    "header_only": (lambda d: write(d / "p.csv", "a,b,c\n"), "holds no points"),
    "one_dimensional": (lambda d: save(d / "p.npy", np.zeros(3)), r"shape \(3,\).*\(count, 3\)"),
    "complex": (lambda d: save(d / "p.npy", np.zeros((2, 3), complex)), "type complex128"),
    "text": (lambda d: save(d / "p.npy", np.array([["a", "b", "c"]])), "type <U1"),
    "objects": (lambda d: save(d / "p.npy", np.array([[None] * 3])), "is no .npy file"),
    "not_npy": (lambda d: write(d / "p.npy", "1,2,3\n"), "is no .npy file"),
    "empty_file": (lambda d: write(d / "p.npy", ""), "is no .npy file"),
}


@pytest.mark.parametrize("case", BAD_ON_OPENING)
def test_what_cannot_be_read_is_refused_on_opening(tmp_path, case):
    make, message = BAD_ON_OPENING[case]
    path = make(tmp_path)
    with pytest.raises(UsageError, match=message) as caught:
        PointsFile(path, 3)
    assert str(caught.value).startswith(f"--points={path}: ")


BAD_IN_BATCHES = {
    "nan_npy": (lambda d, p: save(d / "p.npy", p), "row 4 is not finite"),
    "nan_csv": (lambda d, p: write(d / "p.csv", lines(p)), "row 4 is not finite"),
    "word": (lambda d, p: write(d / "p.csv", "1,2,3\n4,five,6\n"), "row 2 is not 3 numbers"),
    "ragged": (lambda d, p: write(d / "p.csv", "a,b,c\n1,2,3\n4,5\n"), "row 2 is not 3 numbers"),
}


@pytest.mark.parametrize("case", BAD_IN_BATCHES)
@pytest.mark.parametrize("size", [1, 3, 10])
def test_a_bad_row_is_named(tmp_path, case, size):
    points = POINTS.copy()
    points[3, 1] = np.nan if size == 1 else np.inf
    make, message = BAD_IN_BATCHES[case]
    file = PointsFile(make(tmp_path, points), 3)
    with pytest.raises(UsageError, match=message):
        list(file.batches(size))


@pytest.mark.parametrize("suffix", ["npy", "csv"])
def test_values_come_back_as_written(tmp_path, suffix):
    path = tmp_path / f"values.{suffix}"
    writer = open_values(path, 4, ["a", "b", "c"])
    writer.write(POINTS[:3])
    assert not path.exists()
    writer.write(POINTS[3:])
    writer.close()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    np.testing.assert_array_equal(read(path), POINTS)
    if suffix == "csv":
        assert path.read_text().splitlines()[0] == "a,b,c"


@pytest.mark.parametrize("suffix", ["npy", "csv"])
def test_an_abandoned_file_leaves_no_trace(tmp_path, suffix):
    path = write(tmp_path / f"values.{suffix}", "what was there before")
    writer = open_values(path, 4, ["a", "b", "c"])
    writer.write(POINTS[:3])
    writer.abandon()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "what was there before"


@pytest.mark.parametrize("suffix", ["npy", "csv"])
def test_values_replace_an_older_file(tmp_path, suffix):
    path = write(tmp_path / f"values.{suffix}", "what was there before")
    writer = open_values(path, 4, ["a", "b", "c"])
    writer.write(POINTS)
    writer.close()
    np.testing.assert_array_equal(read(path), POINTS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("values.txt", "unknown format"),
        ("values", "unknown format"),
        ("none/values.npy", "cannot be written"),
        ("none/values.csv", "cannot be written"),
    ],
)
def test_a_place_that_cannot_be_written_to(tmp_path, name, message):
    with pytest.raises(UsageError, match=message) as caught:
        open_values(tmp_path / name, 4, ["a"])
    assert caught.value.where == "--out"
