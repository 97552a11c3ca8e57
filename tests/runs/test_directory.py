import os
import subprocess
import sys
from typing import Any

import pytest

from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.summary import Summary
from stde_cli.system.errors import UsageError


@pytest.fixture
def run(tmp_path):
    run = RunDirectory.create(tmp_path / "runs" / "first")
    run.write_config("dim: 3\n")
    run.write_summary(Summary("finished", dim=3))
    run.append_metrics({"step": 1})
    return run


def test_create_makes_parents_and_leaves_nothing_behind(tmp_path):
    run = RunDirectory.create(tmp_path / "a" / "b" / "c")
    assert run.path.is_dir()
    assert list(run.path.iterdir()) == []
    # An empty directory that is there already will do.
    assert RunDirectory.create(run.path).path == run.path


def test_create_refuses_a_directory_in_use(tmp_path, run):
    with pytest.raises(UsageError, match=r"holds a run already; .*resume=auto") as caught:
        RunDirectory.create(run.path)
    assert str(caught.value).startswith(f"run_dir={run.path}: ")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match="is not empty"):
        RunDirectory.create(tmp_path)


def test_create_refuses_what_is_no_directory(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="cannot be written to"):
            RunDirectory.create(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_create_refuses_a_read_only_directory(tmp_path):
    tmp_path.chmod(0o500)
    try:
        refused = pytest.raises(UsageError, match=r"cannot be written to .*Permission denied")
        with refused, RunDirectory.create(tmp_path).locked():
            pass
    finally:
        tmp_path.chmod(0o700)


def test_open_what_was_created(run):
    found = RunDirectory.open(run.path).read_summary()
    assert found == Summary("finished", dim=3, run_dir=str(run.path))
    assert run.config.read_text() == "dim: 3\n"


@pytest.mark.parametrize(
    ("present", "message"),
    [
        ([], "config.yaml and summary.json missing"),
        (["config.yaml"], "not a run of stde: summary.json missing"),
        (["summary.json"], "not a run of stde: config.yaml missing"),
    ],
)
def test_open_refuses_what_is_no_run(tmp_path, present, message):
    for name in present:
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=message):
        RunDirectory.open(tmp_path)


def test_open_refuses_what_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="no such directory"):
        RunDirectory.open(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ('{"status": "do', "cannot be read"),
        ("[]", "not one of stde's"),
        ('{"dim": 3}', "not one of stde's"),
    ],
)
def test_a_damaged_summary_is_said_to_be_one(run, text, message):
    run.summary.write_text(text)
    with pytest.raises(UsageError, match=message):
        run.read_summary()


def test_a_summary_is_replaced_as_a_whole(run):
    run.write_summary(Summary("running"))
    assert run.read_summary().status == "running"
    assert not list(run.path.glob("*.partial"))
    # What cannot be put into JSON leaves the older one as it was.
    unwritable: Any = {"jax": object()}
    with pytest.raises(TypeError):
        run.write_summary(Summary("finished", versions=unwritable))
    assert run.read_summary().status == "running"


def test_metrics(run):
    run.metrics.unlink()
    assert run.read_metrics() == []
    run.forget_metrics_after(0)
    assert not run.metrics.exists()
    rows = [{"step": step, "loss": 1 / (step + 1)} for step in range(0, 50, 10)]
    for row in rows:
        run.append_metrics(row)
    assert run.read_metrics() == rows
    run.forget_metrics_after(20)
    assert run.read_metrics() == rows[:3]
    run.append_metrics(rows[3])
    assert run.read_metrics() == rows[:4]
    run.forget_metrics_after(-1)
    assert run.read_metrics() == []


def test_checkpoints_are_numbered_directories(run):
    assert not run.has_checkpoint()
    run.checkpoints.mkdir()
    (run.checkpoints / "100.orbax-checkpoint-tmp").mkdir()
    assert not run.has_checkpoint()
    (run.checkpoints / "100").mkdir()
    assert run.has_checkpoint()


def test_discard(run):
    run.discard()
    assert not run.path.exists()


@pytest.mark.parametrize("named", [False, True])
def test_discard_removes_the_parents_that_were_made(named, tmp_path):
    kept = RunDirectory.create(tmp_path / "there" / "other")
    for parent in (tmp_path / "there", tmp_path / "new" / "runs"):
        create = RunDirectory.create_named(parent, "a") if named else None
        (create or RunDirectory.create(parent / "a")).discard()
    with pytest.raises(UsageError, match="cannot be written to"):
        RunDirectory.create(tmp_path / "new" / ("a" * 300))
    assert kept.path.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_discard_leaves_a_directory_that_was_there_before(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    run = RunDirectory.create(tmp_path / "link")
    with run.locked():
        run.write_config("dim: 3\n")
        run.checkpoints.mkdir()
        run.discard()
    assert list((tmp_path / "mine").iterdir()) == []


def test_discard_leaves_what_is_the_users(tmp_path):
    run = RunDirectory.create(tmp_path / "run")
    with run.locked():
        run.write_config("dim: 3\n")
        (run.path / "notes.txt").write_text("of an hour ago")
        run.discard()
    assert [path.name for path in run.path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("names", "strangers"),
    [
        ([], None),
        ([".lock"], None),
        ([".lock", "config.yaml", "summary.json.partial", "console.log", "wandb_id"], None),
        ([".lock", "config.yaml", "notes.txt"], "holds notes.txt; "),
        ([".lock", "b.csv", "a.csv"], "holds a.csv and 1 more; "),
        (["config.yaml"], "holds config.yaml; "),
    ],
)
def test_what_a_run_left_that_never_began_is_taken_over(tmp_path, names, strangers):
    """A config.yaml without a lock is some other program's."""
    for name in names:
        (tmp_path / name).touch()
    if strangers is not None:
        with pytest.raises(UsageError, match=f"is not empty: it {strangers}"):
            RunDirectory.create(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == set(names)
    else:
        run = RunDirectory.create(tmp_path)
        with run.locked():
            run.clear()
        assert {path.name for path in tmp_path.iterdir()} == {".lock"}


def test_a_lock_is_there_for_one_process_at_a_time(run):
    assert not run.at_work()
    with run.locked():
        assert run.at_work()
        with pytest.raises(UsageError, match="another process"), run.locked():
            pass
    assert (run.path / ".lock").exists()
    assert not run.at_work()


# Runs in an interpreter of its own: a fork at each point where the run touches a file, and the end
# of the process right there.
KILLED = """
import os, sys
from pathlib import Path
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.summary import Summary

def run(path):
    run = RunDirectory.create(path)
    with run.locked():
        run.refuse_if_taken()
        run.clear()
        run.write_config("dim: 3")
        run.write_summary(Summary("running"))
        run.append_metrics({"step": 1})
        (run.checkpoints / "1.partial").mkdir(parents=True)
        (run.checkpoints / "1.partial").rename(run.checkpoints / "1")
        run.write_summary(Summary("finished"))

def killed_at(point, path):
    count = 0
    def hook(event, arguments):
        nonlocal count
        if event in ("open", "os.mkdir", "os.rename", "os.remove", "fcntl.flock"):
            count += 1
            if count == point:
                os._exit(9)
    sys.addaudithook(hook)
    run(path)
    os._exit(0)

point, done = 0, False
while not done:
    point += 1
    path = Path(str(point))
    if not (child := os.fork()):
        killed_at(point, path)
    done = os.waitpid(child, 0)[1] == 0
    if RunDirectory(path).has_progress():
        assert RunDirectory.open(path).read_summary().status in ("running", "finished")
        with RunDirectory(path).locked():
            pass
    else:
        run(path)
assert point > 10
"""


def test_a_process_killed_at_any_point_blocks_nothing(tmp_path):
    """What is left has progress and can be opened and locked, or is taken over."""
    subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, check=True, timeout=60)


def test_runs_of_one_name_are_numbered(tmp_path):
    runs = [RunDirectory.create_named(tmp_path / "runs", "name") for _ in range(3)]
    assert [run.path.name for run in runs] == ["name", "name-1", "name-2"]
    runs[0].discard()
    assert not runs[0].path.exists()
