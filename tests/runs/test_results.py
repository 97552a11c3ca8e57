from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stde_cli.runs import results
from stde_cli.system.errors import UsageError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


def read(path: Path) -> tuple[list[results.Row], list[str]]:
    said: list[str] = []
    return results.read(path, said.append), said


def test_rows_come_back_as_they_were_put(path: Path) -> None:
    assert read(path) == ([], [])
    results.append(path, {"method": "stde", "speed": 1.5, "spread": [float("nan"), (1, 2)]})
    results.append(path, {"method": "ä\n", "speed": float("inf")})
    rows, said = read(path)
    assert rows == [
        {"method": "stde", "speed": 1.5, "spread": [None, [1, 2]]},
        {"method": "ä\n", "speed": None},
    ]
    assert not said
    assert path.read_text().count("\n") == 2


def test_damaged_lines_are_named_and_kept_and_the_rest_is_used(path: Path) -> None:
    results.append(path, {"n": 1})
    with path.open("ab") as file:
        file.write(b'\xff\xfe\n\n[1]\n{"n": 2, "to')  # The last one is torn by a kill.
    results.append(path, {"n": 3})
    assert read(path) == (
        [{"n": 1}, {"n": 3}],
        [f"{path}: lines 2, 4, 5 are damaged; kept in {path}.damaged"],
    )
    aside = path.with_name("rows.jsonl.damaged")
    assert aside.read_bytes() == b'\xff\xfe\n[1]\n{"n": 2, "to\n'
    assert read(path) == ([{"n": 1}, {"n": 3}], [])
    with path.open("a") as file:
        file.write("{")
    assert "line 3 is damaged" in read(path)[1][0]
    assert aside.read_bytes().endswith(b"\n{\n")


def test_a_file_of_something_else_is_left_alone(path: Path) -> None:
    path.write_text("dear diary\n")
    with pytest.raises(UsageError, match="holds no results"):
        read(path)
    assert path.read_text() == "dear diary\n"


def test_a_row_that_does_not_fit_on_disk_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    results.append(path, {"n": 1})
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        results.append(path, {"n": 2})
    assert read(path) == ([{"n": 1}], [])


def _append_and_read(path: Path, number: int) -> None:
    for turn in range(20):
        results.append(path, {"number": number, "turn": turn, "text": "x" * 5000})
        with path.open("a") as file:
            file.write("torn\n")
        results.read(path, lambda _: None)


def test_several_at_once_lose_nothing(path: Path) -> None:
    """Each of them replaces the file now and then, to be rid of damaged lines.

    A lock belongs to who opened the file: threads keep each other out as processes do.
    """
    with ThreadPoolExecutor() as pool:
        list(pool.map(_append_and_read, [path] * 3, range(3)))
    rows, _ = read(path)
    assert sorted((row["number"], row["turn"]) for row in rows) == [
        (number, turn) for number in range(3) for turn in range(20)
    ]
