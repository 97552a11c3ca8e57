import json
from pathlib import Path

import pytest

from tests.end_to_end.command import SMALL, stde_anew


def summaries(where: Path) -> list[dict]:
    files = sorted((where / "runs").glob("sweep-*/*/summary.json"))
    return [json.loads(file.read_text()) for file in files]


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_runs_every_job(launcher: str, tmp_path: Path) -> None:
    options = (*SMALL, "seed=0,1", f"hydra/launcher={launcher}")
    said = stde_anew("solve", "-m", *options, cwd=tmp_path).check().out.splitlines()
    # One after another they need no names; side by side they have their own, of what they vary.
    names = ["#0 seed=0  ", "#1 seed=1  "] if launcher == "joblib" else ["", ""]
    assert {f"{name}compiling" for name in names} <= set(said)
    assert sum("training from step 0" in line for line in said) == 2
    found = summaries(tmp_path)
    assert [s["seed"] for s in found] == [0, 1]
    assert all(s["status"] == "finished" for s in found)


def test_a_failing_job_is_named_and_the_others_run(tmp_path: Path) -> None:
    outcome = stde_anew("solve", "-m", *SMALL, "train.points=0,5", cwd=tmp_path)
    assert outcome.status == 2
    assert "job 0: train.points=0" in outcome.err
    assert "Traceback" not in outcome.err
    assert [s["status"] for s in summaries(tmp_path)] == ["finished"]
