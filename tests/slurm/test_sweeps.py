"""Sweeps on a real Slurm. What befalls a job must not show in what it comes to."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.end_to_end.command import SMALL, Outcome, environment, stde_anew
from tests.end_to_end.test_solve import read_arrays
from tests.slurm.cluster import LocalSlurm

JOB = (*SMALL, "steps=6000", "train.log_every=200", "evaluation.every=6000")
SWEEP = (*JOB, "seed=0,1,2,3", "hydra.sweep.dir=sweep")
ON_SLURM = (
    "cluster=slurm_cpu",
    "hydra.launcher.partition=low",
    "hydra.launcher.cpus=1",
    "hydra.launcher.memory_gb=1",
    "hydra.launcher.minutes=60",
)
SECONDS = 900
"""The most that a sweep takes on a machine that is busy."""


class Sweep:
    """A sweep in a directory, and the Slurm that it runs on."""

    def __init__(self, where: Path, cluster: LocalSlurm):
        self.where, self.cluster = where, cluster
        self.path = where / "sweep"

    def stde(self, *arguments: str) -> Outcome:
        return stde_anew(*arguments, cwd=self.where, env=environment(**self.cluster.environment))

    def submit(self, *further: str) -> str:
        """The number of the array."""
        out = self.stde("solve", "-m", *SWEEP, *ON_SLURM, *further).check().out
        return out.partition(" as ")[2].partition(";")[0]

    def status(self) -> dict[int, dict]:
        jobs = json.loads(self.stde("status", "sweep", "--json").check().out)
        return {job["number"]: job for job in jobs}

    def run(self, number: int) -> Path:
        (place,) = self.path.glob(f"{number}-*")
        return place

    def attempts(self, number: int) -> list[dict]:
        return json.loads((self.run(number) / "attempts.json").read_text())

    def is_training(self, number: int) -> bool:
        files = list(self.path.glob(f"{number}-*/metrics.jsonl"))
        return bool(files) and '"step": 200,' in files[0].read_text()

    def wait_until_training(self, *numbers: int) -> None:
        self.cluster.wait_for(lambda: all(map(self.is_training, numbers)), SECONDS)

    def wait_for_its_end(self) -> None:
        self.cluster.wait_for(lambda: not self.cluster.queue(), SECONDS)


@pytest.fixture
def sweep(tmp_path: Path, cluster: LocalSlurm) -> Iterator[Sweep]:
    yield Sweep(tmp_path, cluster)
    cluster.ask("scancel", "--user", str(os.getuid()))
    cluster.wait_for(lambda: not cluster.queue())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cluster: LocalSlurm) -> Sweep:
    found = Sweep(tmp_path_factory.mktemp("undisturbed"), cluster)
    found.submit()
    found.wait_for_its_end()
    return found


def ends_as(sweep: Sweep, undisturbed: Sweep, numbers: tuple[int, ...] = (0, 1, 2, 3)) -> None:
    """The jobs are finished, with the parameters of those that nothing befell, bit for bit."""
    status = sweep.status()
    for number in numbers:
        assert status[number]["state"] == "finished", status
        found, whole = read_arrays(sweep.run(number)), read_arrays(undisturbed.run(number))
        assert found.keys() == whole.keys()
        for name in whole:
            np.testing.assert_array_equal(found[name], whole[name])


def test_a_job_that_is_requeued_goes_on_by_itself(tmp_path: Path, cluster: LocalSlurm) -> None:
    """The smallest of these, for every day: a sweep of one job, of a moment."""
    sweep = Sweep(tmp_path, cluster)
    array = sweep.submit("seed=0", "steps=2000")
    cluster.wait_for(lambda: (sweep.path / "slurm" / "0.log").exists(), SECONDS)
    cluster.ask("scontrol", "requeue", f"{array}_0")
    sweep.wait_for_its_end()
    job = sweep.status()[0]
    assert (job["state"], job["step"]) == ("finished", 2000)


@pytest.mark.slurm
def test_a_sweep_on_two_nodes_is_submitted_and_left(undisturbed: Sweep) -> None:
    status = undisturbed.status()
    assert [job["state"] for job in status.values()] == ["finished"] * 4
    assert {job["node"] for job in status.values()} == {"n1", "n2"}
    assert [len(undisturbed.attempts(number)) for number in range(4)] == [1] * 4
    logs = "".join(log.read_text() for log in undisturbed.path.glob("slurm/*.log"))
    assert "stde: " not in logs
    undisturbed.stde("solve", *JOB, "seed=2", "run_dir=here").check()
    here, there = read_arrays(undisturbed.where / "here"), read_arrays(undisturbed.run(2))
    for name in there:
        np.testing.assert_array_equal(here[name], there[name])


@pytest.mark.slurm
def test_preempted_jobs_go_on(sweep: Sweep, undisturbed: Sweep) -> None:
    sweep.submit()
    sweep.wait_until_training(0, 1, 2, 3)
    running = [job for job in sweep.status().values() if job["state"] == "running"]
    assert all(job["slurm_seconds_left"] for job in running)
    high = ("--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null")
    sweep.cluster.ask("sbatch", *high, "--wrap=sleep 1")
    sweep.wait_for_its_end()
    ends_as(sweep, undisturbed)
    assert any(job["preempted"] for job in sweep.status().values())
    ends = [attempt["how"] for number in range(4) for attempt in sweep.attempts(number)]
    assert "requeued" in ends
    assert set(ends) <= {"requeued", "finished"}


@pytest.mark.slurm
def test_requeued_jobs_go_on(sweep: Sweep, undisturbed: Sweep) -> None:
    array = sweep.submit()
    sweep.wait_until_training(0, 1, 2, 3)
    for number in range(4):
        sweep.cluster.ask("scontrol", "requeue", f"{array}_{number}")
    sweep.wait_for_its_end()
    ends_as(sweep, undisturbed)
    assert [attempt["how"] for attempt in sweep.attempts(0)] == ["requeued", "finished"]


@pytest.mark.slurm
def test_jobs_of_a_node_that_dies_go_on(sweep: Sweep, undisturbed: Sweep) -> None:
    sweep.submit("checkpoint.every=200")
    sweep.wait_until_training(0, 1, 2, 3)
    lost = [number for number, job in sweep.status().items() if job["node"] == "n1"]
    assert lost
    sweep.cluster.kill_node("n1")
    try:
        sweep.cluster.wait_for(lambda: "down" in sweep.cluster.ask("sinfo", "-hNn", "n1"), 120)
    finally:
        sweep.cluster.start_node("n1")
    sweep.wait_for_its_end()
    status = sweep.status()
    assert all(job["state"] == "finished" for job in status.values())
    for number in range(4):
        found, whole = read_arrays(sweep.run(number)), read_arrays(undisturbed.run(number))
        for name in whole:
            np.testing.assert_array_equal(found[name], whole[name])
    for number in lost:
        first, *others = sweep.attempts(number)
        assert first["how"] is None
        assert others[0]["from_step"] >= 200


@pytest.mark.slurm
def test_a_job_that_reaches_its_time_limit_goes_on(sweep: Sweep) -> None:
    limit = ("hydra.launcher.minutes=2", "hydra.launcher.warning_seconds=40")
    sweep.submit("seed=0", "steps=10000000", *limit)
    sweep.cluster.wait_for(lambda: sweep.status()[0]["preempted"], SECONDS)
    # Slurm has yet to end it, and to start it again.
    sweep.cluster.wait_for(lambda: len(sweep.attempts(0)) > 1, SECONDS)
    first, second, *_ = sweep.attempts(0)
    assert (first["how"], first["by"]) == ("requeued", "SIGUSR2")
    assert second["from_step"] == first["step"] > 0


@pytest.mark.slurm
def test_no_more_jobs_run_at_once_than_is_said(sweep: Sweep, undisturbed: Sweep) -> None:
    sweep.submit("hydra.launcher.at_once=1")
    most = 0
    deadline = time.monotonic() + SECONDS
    while (queue := sweep.cluster.queue()) and time.monotonic() < deadline:
        most = max(most, queue.count("RUNNING"))
        time.sleep(0.5)
    assert most == 1
    ends_as(sweep, undisturbed)


@pytest.mark.slurm
def test_what_is_cancelled_stays_so_until_it_is_asked_for(sweep: Sweep, undisturbed: Sweep) -> None:
    array = sweep.submit()
    sweep.wait_until_training(0, 1, 2, 3)
    sweep.cluster.ask("scancel", f"{array}_2")
    sweep.wait_for_its_end()
    ends_as(sweep, undisturbed, (0, 1, 3))
    assert sweep.status()[2]["state"] == "cancelled"
    assert sweep.attempts(2)[-1]["how"] == "cancelled"

    again = sweep.stde("solve", "-m", *SWEEP, *ON_SLURM, "resume=auto").check().out
    assert again.startswith("submitted 1 job as ")
    sweep.wait_for_its_end()
    ends_as(sweep, undisturbed)
    again = sweep.stde("solve", "-m", *SWEEP, *ON_SLURM, "resume=auto").check().out
    assert again.startswith("nothing to do")


@pytest.mark.slurm
def test_a_second_sweep_into_one_directory_is_refused(sweep: Sweep) -> None:
    sweep.submit()
    outcome = sweep.stde("solve", "-m", *SWEEP, *ON_SLURM)
    assert outcome.status == 2
    assert outcome.err.startswith("stde: hydra.sweep.dir=sweep: ")
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.slurm
@pytest.mark.parametrize(
    ("override", "where"),
    [
        ("hydra.launcher.partition=nowhere", "hydra.launcher.partition=nowhere: no such partition"),
        ("hydra.launcher.minutes=1", "hydra.launcher.warning_seconds=120: no shorter than"),
        ("hydra.launcher.memory_gb=9999", "cluster=slurm: sbatch refuses: "),
        ("dim=-1", "dim=-1: "),
    ],
)
def test_what_cannot_work_is_refused_before_it_is_submitted(
    override: str, where: str, sweep: Sweep
) -> None:
    outcome = sweep.stde("solve", "-m", *SWEEP, *ON_SLURM, override)
    assert outcome.status == 2
    assert outcome.err.startswith(f"stde: {where}")
    assert len(outcome.err.splitlines()) == 1
    assert not sweep.cluster.queue()


@pytest.mark.slurm
def test_who_waits_may_leave_and_the_jobs_go_on(sweep: Sweep, undisturbed: Sweep) -> None:
    command = [sys.executable, "-m", "stde_cli", "solve", "-m", *SWEEP, *ON_SLURM]
    waiting = subprocess.Popen(
        [*command, "hydra.launcher.wait=true"],
        cwd=sweep.where,
        env=environment(**sweep.cluster.environment),
        stderr=subprocess.PIPE,
        text=True,
    )
    sweep.wait_until_training(0)
    waiting.send_signal(signal.SIGTERM)
    _, told = waiting.communicate(timeout=60)
    assert waiting.returncode == 143
    assert told.startswith("stde: stopped waiting by SIGTERM, the jobs go on; ")
    sweep.wait_for_its_end()
    ends_as(sweep, undisturbed)


@pytest.mark.slurm
def test_a_solve_of_ones_own_script_goes_on(
    tmp_path: Path, cluster: LocalSlurm, undisturbed: Sweep
) -> None:
    command = [sys.executable, "-P", "-m", "stde_cli", "solve", *JOB, "seed=0"]
    script = tmp_path / "job.sh"
    script.write_text(
        "#!/bin/bash\n#SBATCH --requeue --mem=1G --output=log --open-mode=append\n"
        f"srun {' '.join(command)}\n"
    )
    env = environment(**cluster.environment)
    number = subprocess.check_output(
        ["sbatch", "--parsable", str(script)], cwd=tmp_path, env=env, text=True
    ).strip()
    cluster.wait_for(
        lambda: any('"step": 200,' in f.read_text() for f in tmp_path.glob("runs/*/metrics.jsonl")),
        SECONDS,
    )
    cluster.ask("scancel", "--signal=TERM", number)
    cluster.wait_for(lambda: not cluster.queue(), SECONDS)
    (run,) = (tmp_path / "runs").iterdir()
    assert f"job {number} is back in the queue" in (tmp_path / "log").read_text()
    found, whole = read_arrays(run), read_arrays(undisturbed.run(0))
    for name in whole:
        np.testing.assert_array_equal(found[name], whole[name])
