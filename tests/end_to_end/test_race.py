import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stde_cli as stde_api
from stde_cli.jobs import solve
from tests.end_to_end.command import SMALL, stde, stde_interrupted
from tests.end_to_end.test_solve import read_arrays

POLYNOMIALS = ("start=least_squares", "start.degree=1", "start.rounds=1", "start.iterations=3")
RACE = (
    "+experiment=accurate",
    "~race.candidates.features",
    "~race.candidates.symmetric",
    "~race.candidates.gauss_newton",
    *POLYNOMIALS[1:],
    "race.steps=3",
    "race.points=200",
)
"""Polynomials of one degree, that the residual does not like well enough to stop there."""


def summary_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text())


def test_the_best_goes_on_as_if_it_had_been_typed(tmp_path: Path) -> None:
    outcome = stde("solve", *SMALL, *RACE, "run_dir=run", cwd=tmp_path).check()
    assert "polynomials leaves" in outcome.out
    assert "network leaves" in outcome.out
    found = summary_of(tmp_path / "run")
    left = found["candidates"]
    assert found["chosen"] == min(left, key=lambda name: left[name]) == "polynomials"
    typed = (*SMALL, *POLYNOMIALS, "loss=residual", "schedule=linear")
    stde("solve", *typed, "run_dir=typed", cwd=tmp_path).check()
    raced, alone = read_arrays(tmp_path / "run"), read_arrays(tmp_path / "typed")
    assert raced.keys() == alone.keys()
    for name in alone:
        np.testing.assert_array_equal(raced[name], alone[name])

    again = stde("solve", *SMALL, *RACE, "run_dir=run", "resume=auto", cwd=tmp_path).check()
    assert "leaves" not in again.out
    other = stde("solve", *SMALL, *RACE, "run_dir=run", "resume=auto", "seed=1", cwd=tmp_path)
    assert (other.status, other.err.count("\n")) == (2, 1)
    assert "with seed=0" in other.err
    stde("resume", "run", "steps=50", cwd=tmp_path).check()
    assert summary_of(tmp_path / "run")["steps"] == 50


def test_what_is_refused_is_passed_over(tmp_path: Path) -> None:
    race = (*RACE, "race.candidates.polynomials.overrides=['estimator.batch=7']")
    outcome = stde("solve", *SMALL[:2], *race, "run_dir=run", cwd=tmp_path).check()
    assert "polynomials is passed over: estimator.batch=7" in outcome.out
    found = summary_of(tmp_path / "run")
    assert found["candidates"]["polynomials"] is None
    assert found["chosen"] == "network"


def test_what_would_be_sampled_is_passed_over(tmp_path: Path) -> None:
    outcome = stde(
        "solve", *SMALL[1:4], *RACE, "pde=biharmonic", "dim=5", "run_dir=run", cwd=tmp_path
    ).check()
    assert "polynomials is passed over: race.candidates.polynomials.sampled" in outcome.out
    assert summary_of(tmp_path / "run")["chosen"] == "network"


def test_what_is_wrong_with_the_equation_is_said_once(tmp_path: Path) -> None:
    outcome = stde(
        "solve", *SMALL[1:4], *RACE, "pde=wave", "pde.residual=v", "run_dir=run", cwd=tmp_path
    )
    assert outcome.status == 2
    assert outcome.err.startswith("stde: pde.residual: the name v is not known")
    assert not (tmp_path / "run").exists()


def test_an_interrupt_in_the_race_leaves_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    race = (*RACE, "race.enough=1e-30", "race.steps=1000000", "steps=1000000", *SMALL[2:])
    outcome = stde_interrupted(
        "solve",
        *race,
        "dim=6",
        "run_dir=run",
        cwd=tmp_path,
        number=signal.SIGTERM,
        once=run / "console.log",
        contains="polynomials: 1000000 steps",
    )
    assert outcome.status == 143
    assert "before the first step" in outcome.err
    assert not run.exists()


def test_an_error_in_the_race_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("of a class of the user's")

    monkeypatch.setattr(solve, "race", broken)
    with pytest.raises(RuntimeError, match="of a class"):
        stde_api.solve(*SMALL, *RACE, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_start_that_leaves_nothing_takes_no_step(tmp_path: Path) -> None:
    own = tmp_path / "own" / "pde" / "sine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(
        "_target_: stde_cli.Symbolic\ncoordinates: {x: [0, 3]}\nresidual: u_xx - f\n"
        "solution: sin(x)\nlift: x/3*sin(3)\nconstraint: x*(3 - x)\n"
    )
    run = stde_api.solve(
        "pde=sine",
        "start=random_features",
        "start.features=40",
        "+race.candidates.features={overrides:[]}",
        *SMALL[1:4],
        config_dir=tmp_path / "own",
        run_dir=tmp_path / "run",
    )
    assert (run.summary["steps"], run.summary["status"]) == (0, "finished")
    assert run.summary["rel_l2_error"] < 1e-7
    assert run.predict([[1.0]]) == pytest.approx([np.sin(1.0)], rel=1e-6)


def test_a_benchmark_measures_what_is_fixed(tmp_path: Path) -> None:
    outcome = stde("bench", "+experiment=accurate", "bench.methods=[stde]", cwd=tmp_path)
    assert outcome.status == 2
    assert "race: stde would be another configuration" in outcome.err
