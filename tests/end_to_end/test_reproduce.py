"""`stde reproduce`, with the commands that it runs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stde_cli.jobs.reproduction import filling
from stde_cli.jobs.reproduction.cells import Place
from stde_cli.jobs.reproduction.tables import names
from tests.end_to_end.command import environment, in_process

SMALL = (
    "reproduce.steps=2",
    "reproduce.dir=table",
    "scales.smoke.bench=['bench.blocks=1','bench.block_seconds=0.05']",
    "scales.smoke.solve=['evaluation.points=20']",
    "reproduce.overrides=['network.width=8','train.points=8']",
)
TINY = (*SMALL, "reproduce.columns=[100]", "reproduce.rows=[stde_sparse_16]")


def results(where: Path) -> list[dict]:
    return json.loads((where / "table" / "results.json").read_text())


def test_a_table_is_filled_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    out = in_process("reproduce", "table3", *TINY, capsys=capsys).check().out
    assert "[2/2" in out
    assert {row["metric"] for row in results(tmp_path)} == {
        "speed_it_per_s",
        "memory_mb",
        "rel_l2_error",
    }
    for row in results(tmp_path):
        assert row["status"] == "done"
        assert row["ours"] > 0
        assert row["published"] > 0
    assert "  published" in out
    assert "Table 3" in (tmp_path / "table" / "table3.html").read_text()
    (log,) = tmp_path.glob("table/cells/stde_sparse_16-100-bench-*/log.txt")
    written = log.stat()
    again = in_process("reproduce", "table3", *TINY, capsys=capsys).check().out
    assert "[1/2" not in again
    assert "  published" in again
    assert log.stat().st_mtime_ns == written.st_mtime_ns
    other = ("reproduce.dir=table", "scale=cpu")
    for flag in ((), ("--dry-run",)):
        refused = in_process("reproduce", "table1", *other, *flag, capsys=capsys)
        assert refused.status == 2
        assert "reproduce.dir=table: holds cells of scale=smoke, not cpu" in refused.err


def test_a_dry_run_lists_the_commands_and_runs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stde_cli.jobs.reproduction.reproduction._calibrated", lambda: 1e9)
    out = in_process("reproduce", "table3", *TINY, "--dry-run", capsys=capsys).check().out
    assert "stde bench 'bench.methods=[stde]'" in out
    assert re.search(r"run_dir=table/cells/stde_sparse_16-100-seed0-\w+/run resume=auto", out)
    assert "within a factor of three" in out
    assert "OOM" not in out
    module = "stde_cli.jobs.reproduction.reproduction"
    monkeypatch.setattr(f"{module}.available_host_bytes", lambda: 1000)
    out = in_process("reproduce", "table3", *TINY, "--dry-run", capsys=capsys).check().out
    assert out.count(" OOM ") == 2
    assert not list(tmp_path.iterdir())


def test_what_is_refused_leaves_no_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for refused in (["reproduce.cell=99"], ["--launcher", "nope"]):
        assert in_process("reproduce", "table3", *TINY, *refused, capsys=capsys).status == 2
        assert not list(tmp_path.iterdir())


def test_a_cell_that_failed_is_the_commands_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table is printed all the same; a refusal is an answer."""
    codes = {"bench": "sys.exit('stde: broken')", "solve": "print('stde: x=1: no'); sys.exit(2)"}

    def command(place: Place) -> list[str]:
        return [sys.executable, "-S", "-c", f"import sys; {codes[place.cell.kind]}"]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(filling, "_command", command)
    failed = in_process("reproduce", "table3", *TINY, capsys=capsys)
    assert failed.status == 1
    first = "stde: 1 of 2 cells failed, the first stde_sparse_16, 100: broken; see table/cells/"
    assert failed.err.startswith(first)
    assert failed.err.endswith("/log.txt\n")
    assert {row["status"] for row in results(tmp_path)} == {"failed", "refused"}
    assert "  published" in failed.out
    codes["bench"] = codes["solve"]
    in_process("reproduce", "table3", *TINY, capsys=capsys).check()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("thesis.tex", "", "holds thesis.tex, and no reproduction"),
        ("reproduction.json", "{", "reproduction.json is damaged"),
        ("reproduction.json", '{"scale": "cpu"}', "holds cells of scale=cpu, not smoke"),
    ],
)
@pytest.mark.parametrize("flag", [(), ("--dry-run",), ("--launcher", "joblib")])
def test_the_directory_of_others_is_left_alone(
    name: str,
    text: str,
    told: str,
    flag: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / name).write_text(text)
    refused = in_process("reproduce", "table3", *TINY, *flag, capsys=capsys)
    assert refused.status == 2
    assert refused.err == f"stde: reproduce.dir=table: {told}; choose another\n"
    left = {file.name for file in (tmp_path / "table").iterdir()}
    assert left <= {name, ".lock"}
    assert (tmp_path / "table" / name).read_text() == text


def start(where: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "stde_cli", "reproduce", *arguments]
    return subprocess.Popen(
        command, cwd=where, env=environment(), stdout=subprocess.PIPE, text=True
    )


def finish(where: Path, *arguments: str) -> str:
    """What the command printed, once it has ended well."""
    command = start(where, *arguments)
    out, _ = command.communicate(timeout=300)
    assert command.returncode == 0, out
    return out


@pytest.mark.slow
def test_a_killed_cell_is_picked_up_and_two_at_once_fill_a_table_once(tmp_path: Path) -> None:
    figure = ("figure5", *SMALL[1:4], "reproduce.columns=[1,2]", "reproduce.rows=[100 D]")
    arguments = (*figure, "reproduce.steps=40000", "reproduce.seeds=2")
    overrides = "reproduce.overrides=['network.width=8','train.points=8','checkpoint.every=500']"
    arguments = (*arguments, overrides)
    first = start(tmp_path, *arguments)
    cells = tmp_path / "table" / "cells"
    while not (saved := list(cells.glob("100-D-1-seed0-*/run/checkpoints/[0-9]*"))):
        assert first.poll() is None
        time.sleep(0.1)
    run = saved[0].parents[1]
    config = (run / "config.yaml").read_text()
    first.kill()
    first.wait()
    listed = subprocess.run(
        ["pgrep", "-f", f"run_dir={run.relative_to(tmp_path)}"],
        check=False,
        capture_output=True,
        text=True,
    )
    for number in listed.stdout.split():
        os.kill(int(number), signal.SIGKILL)
    both = [start(tmp_path, *arguments) for _ in range(2)]
    told = [each.communicate()[0] for each in both]
    assert [each.returncode for each in both] == [0, 0], told
    assert (run / "config.yaml").read_text() == config, "it went on, and did not begin anew"
    for row in results(tmp_path):
        assert row["status"] == "done"
        assert len(row["commands"]) == 2
        assert row["std"] is not None
    lines = [line for text in told for line in text.splitlines() if line.startswith("[")]
    assert len(lines) == 4, lines


@pytest.mark.slow
def test_an_interrupt_saves_the_cell_and_the_same_command_goes_on(tmp_path: Path) -> None:
    arguments = ("figure5", *SMALL[1:], "reproduce.columns=[1]", "reproduce.rows=[100 D]")
    arguments = (*arguments, "reproduce.cell_seconds=3000")
    first = start(tmp_path, *arguments, "reproduce.steps=300000")
    metrics = "table/cells/*/run/metrics.jsonl"
    while not any('"step"' in found.read_text() for found in tmp_path.glob(metrics)):
        assert first.poll() is None
        time.sleep(0.1)
    (run,) = tmp_path.glob("table/cells/*/run")
    first.send_signal(signal.SIGTERM)
    first.communicate()
    assert first.returncode == 143
    assert json.loads((run / "summary.json").read_text())["status"] == "interrupted"
    assert finish(tmp_path, *arguments, "reproduce.steps=300000")
    (row,) = results(tmp_path)
    assert row["status"] == "done"


@pytest.mark.slow
def test_a_launcher_fills_the_cells(tmp_path: Path) -> None:
    out = finish(tmp_path, "table3", *TINY, "--launcher", "joblib")
    assert all(row["status"] == "done" for row in results(tmp_path))
    assert "  published" in out


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_every_table_in_a_small_form(name: str, tmp_path: Path) -> None:
    columns = {"table11": "base", "figure5": "2"}.get(name, "100")
    if name == "table10":
        columns = "1000"
    finish(tmp_path, name, *SMALL, f"reproduce.columns=[{columns}]")
    without = [r for r in results(tmp_path) if r["status"] != "done"]
    assert not [r for r in without if "pytorch" not in r["row"]], without
