"""Studies without training: trials are told figures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from stde_cli.jobs.tuning import outcome
from stde_cli.jobs.tuning.reading import outcome_of
from stde_cli.jobs.tuning.study import Purpose, SharedStudy
from stde_cli.jobs.tuning.trial import Trial, trial_of
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.summary import FINISHED, PRUNED, Summary
from stde_cli.system.errors import RunFailed, UsageError

SPACE = {"rate": FloatDistribution(1e-4, 1e-2, log=True), "width": CategoricalDistribution([8, 16])}
TPE = {"_target_": "optuna.samplers.TPESampler", "seed": 0, "n_startup_trials": 2}
MEDIAN = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 1}
ERROR = ("rel_l2_error",)


def purpose(**changes: Any) -> Purpose:
    return Purpose(**{"space": SPACE, "objectives": ERROR, "settings": {"dim": 2}} | changes)


def study(path: Path, of: Purpose | None = None, **changes: Any) -> SharedStudy:
    return SharedStudy(
        path, "stde", of or purpose(), **{"sampler": TPE, "pruner": MEDIAN} | changes
    )


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[SharedStudy]:
    found = study(tmp_path / "study.journal")
    yield found
    found.leave()


def trial(tmp_path: Path, number: int, objectives: tuple[str, ...] = ERROR) -> Trial:
    settings = {
        "storage": str(tmp_path / "study.journal"),
        "study": "stde",
        "number": number,
        "objectives": list(objectives),
        "pruner": MEDIAN,
    }
    found = trial_of(OmegaConf.create({"trial": settings}))
    assert found
    return found


def ended(error: float | None, status: str = FINISHED) -> Summary:
    return Summary(status, rel_l2_error=error, wall_seconds=1.0)


def test_a_run_tells_its_study_by_itself(shared: SharedStudy, tmp_path: Path) -> None:
    for number, error in enumerate((0.5, None, float("nan"), 0.25)):
        (asked,) = shared.ask(1, in_all=9)
        assert asked.number == number
        each = trial(tmp_path, number)
        each.begin(tmp_path / str(number))
        each.tell(ended(error))
    found = outcome_of(shared.study)
    assert [each.status for each in found.trials] == ["finished", "failed", "failed", "finished"]
    assert found.best == [3, 0]
    assert found.trial(1).failure == "rel_l2_error is unknown"
    assert found.trial(3).run_dir == str(tmp_path / "3")


def test_what_is_worse_than_the_median_is_pruned(shared: SharedStudy, tmp_path: Path) -> None:
    shared.ask(3, in_all=3)
    first, worse, better = (trial(tmp_path, number) for number in range(3))
    assert not first.report(10, 0.5)
    first.tell(ended(0.5))
    assert worse.report(10, 0.9)
    worse.tell(ended(None, PRUNED))
    assert not better.report(10, 0.1)
    # A run that went on from before says once more what is known.
    assert not better.report(10, 0.2)
    states = [each.state for each in shared.study.trials]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING]
    found = outcome_of(shared.study)
    assert found.counts() == "1 finished, 1 pruned, 1 running"
    assert found.trial(1).on_the_way == {10: 0.9}


@pytest.mark.parametrize(
    ("objectives", "prunes"),
    [(ERROR, True), (("wall_seconds",), False), (("loss", "wall_seconds"), False)],
)
def test_runs_are_pruned_by_one_error(objectives: tuple[str, ...], prunes: bool) -> None:
    assert Trial({"objectives": list(objectives)}).prunes is prunes


def test_two_processes_ask_for_no_more_than_all(shared: SharedStudy, tmp_path: Path) -> None:
    other = study(tmp_path / "study.journal")
    mine, theirs = shared.ask(3, in_all=5), other.ask(3, in_all=5)
    assert [each.number for each in (*mine, *theirs)] == [0, 1, 2, 3, 4]
    assert not shared.ask(1, in_all=5)
    # Not the same seed: they would try the same.
    assert mine[0].values != theirs[0].values
    other.leave()


def test_the_first_process_draws_what_the_seed_says(tmp_path: Path) -> None:
    drawn = []
    for name in ("a", "b"):
        found = study(tmp_path / name)
        drawn.append(found.ask(1, in_all=1)[0].values)
        found.leave()
    assert drawn[0] == drawn[1]


def test_trials_of_a_process_that_died_are_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    gone = study(path)
    gone.ask(3, in_all=4)
    for number in range(3):
        trial(tmp_path, number).begin(tmp_path / str(number))
    trial(tmp_path, 0).tell(ended(0.5))
    heir = study(path)
    assert heir.try_again() == []
    gone.leave()
    run = RunDirectory(tmp_path / "2")
    run.path.mkdir()
    with run.locked():
        # A job may outlive the process that sent it.
        assert heir.try_again() == [1]
    again, new = heir.ask(5, in_all=4)
    assert again.run_dir == str(tmp_path / "1")
    assert again.values == heir.trial(1).params
    assert new.run_dir is None
    # Who was given up and comes after all has nothing to do.
    with pytest.raises(RunFailed, match="trial 1 of the study is over already"):
        trial(tmp_path, 1).begin(tmp_path / "1")
    assert [each.number for each in outcome_of(heir.study).trials] == [0, 2, 3, 4]
    heir.leave()


def test_a_trial_that_kills_its_process_is_not_tried_for_ever(tmp_path: Path) -> None:
    for _ in range(3):
        found = study(tmp_path / "study.journal")
        found.try_again()
        assert found.ask(1, in_all=1)
        found.leave()
    found = study(tmp_path / "study.journal")
    assert found.try_again() == [2]
    assert not found.ask(1, in_all=1)
    assert outcome_of(found.study).counts() == "1 failed"
    found.leave()


@pytest.mark.parametrize(
    ("there", "differs"),
    [
        ({"settings": {"dim": 3}}, "a study of another configuration, with dim=3"),
        ({"settings": {}}, "a study of another configuration, with no dim"),
        ({"objectives": ("loss",)}, "a study of other objectives, loss"),
        (
            {"space": {**SPACE, "rate": FloatDistribution(0.1, 1.0)}},
            "a study of another search space, with rate=[0.1, 1.0]",
        ),
        ({"space": {"rate": SPACE["rate"]}}, "a study of another search space, with no width"),
    ],
)
def test_another_study_is_refused(there: dict, differs: str, tmp_path: Path) -> None:
    study(tmp_path / "kept" / "study.journal", purpose(**there)).leave()
    with pytest.raises(UsageError) as told:
        study(tmp_path / "kept" / "study.journal")
    assert differs in str(told.value)
    assert "hydra.sweeper.storage=" in str(told.value)


def test_what_is_no_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("a text\nof two lines\n")
    for path, why in (
        (tmp_path / "notes", "holds no study"),
        (tmp_path, "cannot be written to"),
        (Path("sqlite:///study.db"), "no database"),
    ):
        with pytest.raises(UsageError, match=why):
            study(path)
    assert [each.name for each in tmp_path.iterdir()] == ["notes"]


def test_two_objectives_have_a_front(tmp_path: Path) -> None:
    objectives = ("rel_l2_error", "wall_seconds")
    found = study(tmp_path / "study.journal", purpose(objectives=objectives))
    for number, (error, seconds) in enumerate([(0.1, 3.0), (0.2, 1.0), (0.3, 2.0)]):
        found.ask(1, in_all=3)
        summary = Summary(FINISHED, rel_l2_error=error, wall_seconds=seconds)
        trial(tmp_path, number, objectives).tell(summary)
    known = outcome_of(found.study)
    found.leave()
    assert known.best == [0, 1]
    table = outcome.table(known)
    assert table.title == "Pareto front"
    assert [row[:3] for row in table.rows] == [("0", "0.1", "3"), ("1", "0.2", "1")]


def test_what_a_study_came_to_is_read_back(shared: SharedStudy, tmp_path: Path) -> None:
    for number in range(6):
        shared.ask(1, in_all=6)
        each = trial(tmp_path, number)
        each.report(5, 1.0)
        each.tell(ended(0.5 / (number + 1)))
    known = outcome_of(shared.study)
    assert sum(known.importances["rel_l2_error"].values()) == pytest.approx(1.0)
    known.command = "stde solve"
    outcome.write(known, tmp_path)
    assert outcome.read(tmp_path) == known
    (tmp_path / outcome.FILE).write_text("[]")
    assert outcome.read(tmp_path) is None
