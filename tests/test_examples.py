"""The examples in the docstrings of what is public are run."""

import doctest
from collections.abc import Iterator
from pathlib import Path

import pytest

import stde_cli


def examples() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(recurse=True, exclude_empty=True)
    for name in dir(stde_cli):
        found = getattr(stde_cli, name)
        if getattr(found, "__module__", "").startswith("stde_cli"):
            yield from finder.find(found, name, module=False, globs={})


EXAMPLES = {example.name: example for example in examples() if example.examples}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_does_what_it_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(EXAMPLES[name])
    assert outcome.failed == 0


def test_the_functions_have_examples() -> None:
    assert {"estimate", "plan", "load", "solve"} <= set(EXAMPLES)
