"""A run is read back while it may be at work: nothing in it is touched."""

import shutil
from pathlib import Path

import pytest

from stde_cli.jobs import trained
from stde_cli.runs.directory import RunDirectory
from stde_cli.training import checkpoint


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> RunDirectory:
    """With checkpoints of step 40 and, as a stand-in, of step 30."""
    shutil.copytree(finished_run, tmp_path / "run")
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(run.checkpoints / "40", run.checkpoints / "30")
    return run


def contents(run: RunDirectory) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}


def test_a_save_under_way_is_left_alone(run: RunDirectory) -> None:
    under_way = run.checkpoints / "80.orbax-checkpoint-tmp"
    under_way.mkdir()
    (under_way / "half").write_text("an array")
    before = contents(run)
    assert trained.load(run).step == 40
    assert contents(run) == before


def test_the_newest_whole_checkpoint_is_read(run: RunDirectory) -> None:
    """As where the newest is being deleted, or was damaged."""
    for file in (run.checkpoints / "40").rglob("d/*"):
        file.write_bytes(b"")
    before = contents(run)
    # Its number says where it lies; the state in it was saved at step 40.
    assert trained.load(run).step == 40
    assert contents(run) == before


def test_a_checkpoint_that_gives_way_to_a_newer_one(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """keep=1: the run deletes the only one there was, once it has saved the next."""
    shutil.rmtree(run.checkpoints / "30")
    read = checkpoint._read

    def overtaken(path, step, like):
        if step == 40:
            (run.checkpoints / "40").rename(run.checkpoints / "41")
        return read(path, step, like)

    monkeypatch.setattr(checkpoint, "_read", overtaken)
    assert trained.load(run).step == 40
    assert [path.name for path in run.checkpoints.iterdir()] == ["41"]
