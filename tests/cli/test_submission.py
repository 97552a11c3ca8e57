"""What is handed to Slurm, without one."""

import json
from pathlib import Path

import pytest

from stde_cli.config.sweeps import lock
from stde_cli.runs.attempts import Attempts
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.submitted import Submitted
from stde_cli.runs.summary import Summary
from stde_cli.system import slurm
from tests.end_to_end.command import Outcome, in_process

SWEEP = ("solve", "-m", "cluster=slurm_cpu", "dim=6", "seed=0,1,2,3", "hydra.sweep.dir=sweep")


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, slurm.Queued]:
    """A Slurm that takes everything, and what it says is in its queue."""
    found = dict[int, slurm.Queued]()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm, "is_here", lambda: True)
    monkeypatch.setattr(slurm, "partitions", lambda: ["high", "low"])
    monkeypatch.setattr(slurm, "queue", lambda _: found)
    monkeypatch.setattr(slurm, "submit", lambda _: "7")
    return found


def submit(*further: str, capsys: pytest.CaptureFixture[str]) -> Outcome:
    return in_process(*SWEEP, *further, capsys=capsys)


def script(place: Path = Path("sweep")) -> list[str]:
    return (place / "slurm" / "job.sh").read_text().splitlines()


def test_a_job_is_the_command_that_a_user_could_type(
    queue: dict[int, slurm.Queued], capsys: pytest.CaptureFixture[str]
) -> None:
    further = ("hydra.launcher.partition=low", "hydra.launcher.at_once=2")
    told = submit(*further, "+hydra.launcher.options.account=mine", capsys=capsys).check().out
    assert told == "submitted 4 jobs as 7; see: stde status sweep; cancel: scancel 7\n"
    assert {"#SBATCH --array=0-3%2", "#SBATCH --partition=low", "#SBATCH --account=mine"} < set(
        script()
    )
    assert script()[-1].startswith("exec srun ")
    placed = ["hydra.job.num=2", "hydra.sweep.dir='sweep'"]
    assert Submitted(Path("sweep")).commands()[2] == [
        *("solve", "cluster=slurm_cpu", "dim=6", "seed=2"),
        *placed,
    ]


def test_what_is_missing_or_failed_is_submitted_again(
    queue: dict[int, slurm.Queued], capsys: pytest.CaptureFixture[str]
) -> None:
    submit(capsys=capsys).check()
    for number, status in enumerate(["finished", "failed"]):
        run = RunDirectory(Path(f"sweep/{number}-allen_cahn"))
        run.path.mkdir()
        run.write_summary(Summary(status, steps=5, steps_planned=9))
        if status == "failed":
            for _ in range(2):
                Attempts(run.path).begin(0, "7_1", "n1")
    queue[2] = slurm.Queued(2, "RUNNING", "", "n1", 60.0)
    outcome = submit(capsys=capsys)
    assert outcome.status == 2
    assert outcome.err.startswith("stde: hydra.sweep.dir=sweep: 1 jobs of a sweep are in the queue")

    said = submit("resume=auto", capsys=capsys).check().out.splitlines()
    assert said[0].startswith("job 1 stays as it is: two attempts ended without a save")
    assert said[1].startswith("submitted 1 job as 7;")
    assert "#SBATCH --array=3%50" in script()
    submit("resume=retry", capsys=capsys).check()
    assert "#SBATCH --array=1,3%50" in script()


def test_a_time_that_is_shorter_than_a_save_is_refused(
    queue: dict[int, slurm.Queued], capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunDirectory(Path("sweep/0-allen_cahn"))
    run.path.mkdir(parents=True)
    run.write_summary(Summary("interrupted", save_seconds=150.0))
    outcome = submit("resume=auto", capsys=capsys)
    assert (outcome.status, outcome.err) == (
        2,
        "stde: hydra.launcher.warning_seconds=120: shorter than a save, which took 150.0 s here; "
        "give more\n",
    )


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("hydra.launcher.partition=nowhere", "no such partition; choose from high, low"),
        ("hydra.launcher.minutes=2", "no shorter than the time limit"),
        ("hydra.launcher.minutes=0", "must be 1 or more"),
        ("hydra.launcher.memory_gb=much", "hydra.launcher.memory_gb=much: "),
        ("hydra.launcher.gpu=1", "hydra.launcher.gpu"),
        ("dim=-1", "dim=-1: "),
    ],
)
def test_what_cannot_work_is_not_submitted(
    override: str,
    told: str,
    queue: dict[int, slurm.Queued],
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcome = submit(override, capsys=capsys)
    assert outcome.status == 2
    assert told in outcome.err
    assert outcome.err.count("\n") == 1
    assert not list(Path().iterdir())


def test_what_sbatch_says_is_told(
    queue: dict[int, slurm.Queued],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(_: Path) -> str:
        raise slurm.SlurmError("Memory specification can not be satisfied")

    monkeypatch.setattr(slurm, "submit", refuse)
    outcome = submit(capsys=capsys)
    assert (outcome.status, outcome.err) == (
        2,
        "stde: cluster=slurm: sbatch refuses: Memory specification can not be satisfied\n",
    )


def test_without_slurm_there_is_nothing_to_submit_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm, "is_here", lambda: False)
    outcome = submit(capsys=capsys)
    assert outcome.status == 2
    assert outcome.err == (
        "stde: cluster=slurm: there is no Slurm on this machine; "
        "submit from a node that has sbatch, or take cluster=local\n"
    )
    assert not list(tmp_path.iterdir())


def test_two_sweeps_do_not_share_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with lock(Path("sweep")):
        outcome = in_process("solve", "-m", "seed=0,1", "hydra.sweep.dir=sweep", capsys=capsys)
    assert outcome.status == 2
    assert outcome.err.startswith("stde: hydra.sweep.dir=sweep: another sweep is at work in it")


def test_jobs_of_a_sweep_are_listed_for_programs(
    queue: dict[int, slurm.Queued], capsys: pytest.CaptureFixture[str]
) -> None:
    submit(capsys=capsys).check()
    queue[1] = slurm.Queued(1, "PENDING", "Priority", "", 60.0)
    jobs = json.loads(in_process("status", "sweep", "--json", capsys=capsys).check().out)
    assert [job["state"] for job in jobs] == ["cancelled", "waiting", "cancelled", "cancelled"]
    assert jobs[1]["why"] == "Priority"
    assert "1 waiting" in in_process("status", "sweep", capsys=capsys).check().out
