from pathlib import Path

import pytest

from tests.end_to_end.command import SMALL, stde


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished run, not to be changed."""
    where = tmp_path_factory.mktemp("finished")
    stde("solve", *SMALL, "run_dir=run", cwd=where).check()
    return where / "run"
