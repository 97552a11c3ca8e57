"""YAML files of the user's own: a slip is told by its place, a bomb is not unpacked."""

from pathlib import Path

import pytest

from stde_cli.config.files import Unreadable, load

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)

SLIPS = [
    ("a: 1\n\tb: 2\n", ["line 2, column 1", "indent with spaces"]),
    ("a:\n  b: 1\n c: 2\n", ["line 3"]),
    ("a: 1\nb 2\n", ["line 2, column 1", "write key: value"]),
    ("b 2\n", ["line 1, column 1", "mapping"]),
    ("- a\n- b\n", ["line 1, column 1", "mapping"]),
    ("3\n", ["line 1, column 1", "mapping"]),
    ("a: 'never closed\nb: 2\n", ["line 1, column 4", "end of stream"]),
    ('a: "never closed\n', ["line 1, column 4"]),
    ("a: [1, 2\nb: 3\n", ["line 2", "begins in line 1"]),
    ("a: {b: 1\n", ["begins in line 1"]),
    ("a: 1\nb: 2\na: 3\n", ["line 3, column 1", "duplicate key a"]),
    ("a: b: c\n", ["line 1, column 5", "quotes"]),
    ("a: *nowhere\n", ["line 1, column 4", "nowhere"]),
    ("a: &a [*a]\n", ["line 1, column 8", "stands within"]),
    ("a: @b\n", ["line 1, column 4", "quotes"]),
    ("a: !!python/object/apply:os.system [ls]\n", ["line 1", "constructor"]),
    ("a: 1\n---\nb: 2\n", ["line 2", "document"]),
    ("a: \x07\n", ["special characters"]),
    ("a: " + "[" * 60 + "]" * 60 + "\n", ["line 1", "nested more than 50 deep"]),
    (BOMB, ["more than 100,000 values"]),
    ("a: ${b\n", ["b"]),
    ("# " + "x" * 1_000_001, ["1,000,003 bytes"]),
]


@pytest.mark.parametrize(("text", "expected"), SLIPS)
def test_a_slip_is_told_by_its_place(text: str, expected: list[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(Unreadable) as told:
        load(file)
    for part in expected:
        assert part in str(told.value)
    assert "\n" not in str(told.value)


def test_what_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"a: \xff\n")
    for file, why in ((tmp_path / "mine.yaml", "UTF-8"), (tmp_path, "directory")):
        with pytest.raises(Unreadable, match=why):
            load(file)


def test_anchors_in_moderation(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("a: &range [0, 1]\nb: *range\n")
    assert load(tmp_path / "mine.yaml") == {"a": [0, 1], "b": [0, 1]}
