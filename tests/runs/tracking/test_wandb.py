"""The real wandb client, offline, read back from the records that it wrote."""

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from stde_cli.runs.directory import RunDirectory
from tests.end_to_end.command import SMALL, environment, in_process, stde, stde_anew


def records(log: Path) -> Iterator:
    """The protobuf records of a .wandb file.

    Seven bytes of header, then blocks of 32 kB of chunks: checksum (4 bytes), length (2), kind (1:
    whole, 2: first, 3: middle, 4: last), as in LevelDB's log format.
    """
    from wandb.proto import wandb_internal_pb2

    data, position, parts = log.read_bytes(), 7, b""
    while position + 7 <= len(data):
        room = 32768 - position % 32768
        if room < 7:
            position += room
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            # Protobuf makes its classes at run time.
            record = getattr(wandb_internal_pb2, "Record")()  # noqa: B009
            record.ParseFromString(parts)
            parts = b""
            yield record


def read_offline(run: Path) -> dict:
    """Config, history, summary and run id of the one offline run under a run directory."""
    (log,) = run.glob("wandb/offline-run-*/*.wandb")
    found: dict = {"config": {}, "history": [], "summary": {}, "id": None}
    for record in records(log):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found["id"] = record.run.run_id
            found["config"] |= {u.key: json.loads(u.value_json) for u in record.run.config.update}
        elif kind == "config":
            found["config"] |= {u.key: json.loads(u.value_json) for u in record.config.update}
        elif kind == "history":
            row = {i.key or i.nested_key[0]: json.loads(i.value_json) for i in record.history.item}
            found["history"].append({**row, "_step": record.history.step.num})
        elif kind == "summary":
            found["summary"] |= {
                i.key or i.nested_key[0]: json.loads(i.value_json) for i in record.summary.update
            }
    return found


@pytest.fixture(scope="module")
def offline_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    where = tmp_path_factory.mktemp("wandb")
    outcome = stde("solve", *SMALL, "tracker=wandb", "run_dir=run", cwd=where).check()
    return where / "run", outcome.out


def test_offline_at_once_with_one_line_that_says_how_to_sync(
    offline_run: tuple[Path, str],
) -> None:
    run, out = offline_run
    (line,) = [line for line in out.splitlines() if "wandb" in line]
    assert "offline" in line
    assert "no API key" in line
    (directory,) = run.glob("wandb/offline-run-*")
    assert directory.is_dir()
    assert line.endswith("upload later with: stde upload run")


def test_the_records_hold_config_metrics_and_summary(offline_run: tuple[Path, str]) -> None:
    run, _ = offline_run
    found = read_offline(run)
    assert found["config"]["dim"] == 6
    assert found["config"]["network"]["width"] == 8
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["_step"] for row in found["history"]] == [row["step"] for row in rows]
    for ours, theirs in zip(rows, found["history"], strict=True):
        assert theirs["loss"] == pytest.approx(ours["loss"])
        assert theirs["peak_memory_mb"] == pytest.approx(ours["peak_memory_mb"])
    summary = json.loads((run / "summary.json").read_text())
    assert found["summary"]["rel_l2_error"] == pytest.approx(summary["rel_l2_error"])
    assert found["summary"]["status"] == "finished"
    assert found["id"] == (run / "wandb_id").read_text()


def test_without_a_network_it_goes_offline_too(tmp_path: Path) -> None:
    """A key, and a server that nobody can reach: port 9 of this machine, closed."""
    env = environment(WANDB_API_KEY="0" * 40, WANDB_BASE_URL="http://127.0.0.1:9")
    arguments = (*SMALL, "tracker=wandb", "run_dir=run")
    out = stde_anew("solve", *arguments, cwd=tmp_path, env=env).check().out
    assert "127.0.0.1 cannot be reached" in out
    assert read_offline(tmp_path / "run")["summary"]["status"] == "finished"


def test_an_empty_variable_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stde_cli.runs.tracking import wandb

    begun = {}
    monkeypatch.setenv("WANDB_MODE", "")
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setattr(wandb.wandb, "init", lambda **_: begun.update(os.environ))
    tracker = wandb.WandbTracker()
    tracker._begin(RunDirectory(tmp_path), {}, offline=False)
    assert "WANDB_MODE" not in begun
    assert begun["WANDB_PROJECT"] == "mine"
    assert os.environ["WANDB_MODE"] == ""


def test_what_wandb_does_not_know_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "of")
    outcome = in_process("solve", *SMALL, "tracker=wandb", capsys=capsys)
    assert outcome.status == 2
    assert "WANDB_MODE=of: it should be 'online', 'offline'" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not list(tmp_path.iterdir())
