"""A study whose trials are jobs of a real Slurm."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.command import environment
from tests.end_to_end.test_tuning import RATE, TINY
from tests.slurm.cluster import LocalSlurm
from tests.slurm.test_sweeps import ON_SLURM, SECONDS


@pytest.mark.slurm
def test_two_sweeps_share_a_study(tmp_path: Path, cluster: LocalSlurm) -> None:
    """Each with two jobs at once; together they run as many trials as were wanted."""
    command = [sys.executable, "-m", "stde_cli", "solve", "-m", "hydra/sweeper=optuna", *TINY]
    command += ["steps=4", RATE, *ON_SLURM, "hydra.sweeper.storage=shared.journal"]
    command += ["hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2"]
    sweeps = [
        subprocess.Popen(
            [*command, f"hydra.sweep.dir={name}"],
            cwd=tmp_path,
            env=environment(**cluster.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in ("one", "two")
    ]
    said = [sweep.communicate(timeout=2 * SECONDS)[0] for sweep in sweeps]
    assert [sweep.returncode for sweep in sweeps] == [0, 0], said
    runs = [json.loads(file.read_text()) for file in tmp_path.glob("*/*/summary.json")]
    assert [run["status"] for run in runs] == ["finished"] * 4
    known = [json.loads((tmp_path / name / "study.json").read_text()) for name in ("one", "two")]
    (whole,) = {len(each["trials"]) for each in known}
    assert whole == 4
