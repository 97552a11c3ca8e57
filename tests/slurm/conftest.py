import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import LocalSlurm, missing


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[LocalSlurm]:
    """A Slurm of our own, for the length of the tests; skipped where there is none to start."""
    if lacks := missing():
        pytest.skip(lacks)
    # Not below pytest's own directory, which nobody else may read.
    place = Path(tempfile.mkdtemp(prefix="stde-slurm-"))
    place.chmod(0o755)
    slurm = LocalSlurm(place)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()
        if not request.session.testsfailed:
            shutil.rmtree(place, ignore_errors=True)
