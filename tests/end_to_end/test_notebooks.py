"""The notebooks of docs/ are executed, and are stored with what they show."""

import warnings
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.end_to_end.command import AS_FOR_A_USER, environment

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "docs").glob("*.ipynb"))


def shown(notebook: nbformat.NotebookNode) -> list[set[str]]:
    """The kinds of output below each cell."""
    return [
        {
            kind
            for output in cell.get("outputs", [])
            for kind in output.get("data", [output.output_type])
        }
        for cell in notebook.cells
    ]


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_a_notebook_runs_and_is_stored_with_its_pictures(file: Path, tmp_path: Path) -> None:
    stored = nbformat.read(file, as_version=4)
    anew = deepcopy(stored)
    where = {"metadata": {"path": str(tmp_path)}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = NotebookClient(anew, timeout=300, resources=where, coalesce_streams=True)
        client.execute(env=environment(**AS_FOR_A_USER))
    assert shown(anew) == shown(stored)
    assert any("image/png" in kinds for kinds in shown(stored))


def test_there_is_one() -> None:
    assert NOTEBOOKS
