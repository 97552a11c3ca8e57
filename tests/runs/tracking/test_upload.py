"""Groups of a sweep, and records that were kept offline: the real client, and no server."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import wandb

from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.summary import FINISHED, Summary
from stde_cli.runs.sweep import RECORD, sweep_of
from stde_cli.runs.tracking.upload import ALREADY, AT_WORK, FAILED, upload
from stde_cli.runs.tracking.wandb import WandbTracker
from stde_cli.system.errors import UsageError
from tests.end_to_end.command import in_process
from tests.runs.tracking.test_wandb import records


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "")
    monkeypatch.setenv("NETRC", "/dev/null")


@pytest.fixture
def job(tmp_path: Path) -> RunDirectory:
    """A job of a sweep over two seeds."""
    sweep = tmp_path / "seeds"
    run = RunDirectory(sweep / "1-poisson-d6-s1")
    run.path.mkdir(parents=True)
    target = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
    hydra = {"overrides": {"task": ["dim=6", "seed=0,1"]}, "sweeper": {"_target_": target}}
    # JSON is YAML.
    (sweep / RECORD).write_text(json.dumps({"hydra": hydra}))
    command = "stde solve dim=6 seed=1 run_dir=elsewhere"
    run.write_summary(Summary(FINISHED, command=command))
    return run


def recorded(run: RunDirectory, **settings: Any) -> Path:
    """Log a step offline; the record's directory."""
    tracker = WandbTracker(**settings)
    tracker.start(run, {"dim": 6}, lambda _: None)
    tracker.log(1, {"loss": 0.5})
    tracker.finish({"status": FINISHED})
    # Its own process writes the last of it at its end.
    wandb.teardown()
    return max(run.path.glob("wandb/offline-run-*"))


def said_of_run(record: Path) -> dict:
    (log,) = record.glob("*.wandb")
    run = next(r.run for r in records(log) if r.WhichOneof("record_type") == "run")
    return {
        "group": run.run_group,
        "kind": run.job_type,
        "name": run.display_name,
        "tags": list(run.tags),
        "id": run.run_id,
    }


def test_jobs_of_a_sweep_are_a_group(job: RunDirectory) -> None:
    sweep = sweep_of(job)
    assert sweep
    assert sweep == ("seeds", "sweep", ["seed=1"])
    first, again = (said_of_run(recorded(job, tags=("mine",))) for _ in range(2))
    assert first == {
        "group": "seeds",
        "kind": "sweep",
        "name": job.path.name,
        "tags": ["mine", "seed=1"],
        "id": (job.path / "wandb_id").read_text(),
    }
    # A resumed run goes on in the same place.
    assert again == first


def test_a_group_that_is_given_holds(job: RunDirectory) -> None:
    assert said_of_run(recorded(job, group="ours"))["group"] == "ours"


def test_a_run_by_itself_is_in_no_group(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "alone")
    run.path.mkdir()
    assert sweep_of(run) is None


def test_what_is_recorded_is_told_apart(
    job: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    record = recorded(job)
    sweep = str(job.path.parent)
    refused = in_process("upload", sweep, capsys=capsys)
    assert refused.status == 2
    assert refused.err.count("\n") == 1
    assert "1 records" in refused.err
    assert "no API key; get one with: wandb login" in refused.err
    with job.locked():
        assert upload([job.path]) == ([(record, AT_WORK)], "")
    (log,) = record.glob("*.wandb")
    # As wandb's own sync marks what a server has received.
    log.with_suffix(".wandb.synced").touch()
    known = in_process("upload", sweep, sweep, capsys=capsys)
    assert (known.status, known.out) == (0, f"{record}: {ALREADY}\n")


def test_nothing_to_upload(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = in_process("upload", str(tmp_path), capsys=capsys)
    assert (known.status, known.out) == (0, f"nothing was logged offline in {tmp_path}\n")
    assert in_process("upload", str(tmp_path / "no"), capsys=capsys).status == 2


class _Refusing(BaseHTTPRequestHandler):
    """A server that knows no key."""

    def do_POST(self) -> None:
        self.send_response(401)
        self.end_headers()

    do_GET = do_POST

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_without_a_network_nothing_is_tried(
    job: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(job)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(UsageError, match=r"127\.0\.0\.1 cannot be reached"):
        upload([job.path])


@pytest.mark.slow
def test_what_the_server_refuses_stays(
    job: RunDirectory, refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = recorded(job)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", refusing)
    found, said = upload([job.path])
    assert found == [(record, FAILED)]
    assert said
