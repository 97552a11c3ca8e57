"""What optuna knows of a study, in our words."""

from collections.abc import Sequence

from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from stde_cli.jobs.tuning.outcome import FAILED, FINISHED, PRUNED, RUNNING, WAITING, Outcome, Trial
from stde_cli.jobs.tuning.study import was_given_up
from stde_cli.jobs.tuning.trial import FAILURE, RUN_DIR

_LEAST_FOR_IMPORTANCES = 5
_WORDS = {
    TrialState.COMPLETE: FINISHED,
    TrialState.PRUNED: PRUNED,
    TrialState.FAIL: FAILED,
    TrialState.RUNNING: RUNNING,
    TrialState.WAITING: WAITING,
}


def outcome_of(study: Study) -> Outcome:
    """What is known at this moment."""
    purpose = study.user_attrs.get("purpose") or {}
    objectives = purpose.get("objectives") or ["value"]
    found = [each for each in study.get_trials(deepcopy=False) if not was_given_up(each)]
    trials = [_trial(each, objectives) for each in found]
    finished = [each for each in found if each.state is TrialState.COMPLETE]
    if len(objectives) == 1:
        best = sorted(finished, key=lambda each: each.values[0])
    else:
        best = sorted(study.best_trials, key=lambda each: each.values)
    importances = {
        name: _importances(study, finished, place) for place, name in enumerate(objectives)
    }
    numbers = [each.number for each in best]
    return Outcome(study.study_name, objectives, trials, numbers, importances)


def _trial(found: FrozenTrial, objectives: Sequence[str]) -> Trial:
    values = found.params or found.system_attrs.get("fixed_params", {})
    figures = {}
    if found.state is TrialState.COMPLETE:
        figures = dict(zip(objectives, found.values, strict=True))
    place, failure = (found.user_attrs.get(key) for key in (RUN_DIR, FAILURE))
    status = _WORDS[found.state]
    return Trial(found.number, status, values, figures, found.intermediate_values, place, failure)


def _importances(study: Study, finished: Sequence[FrozenTrial], place: int) -> dict[str, float]:
    """By PED-ANOVA (Watanabe, Bansal, Hutter 2023), which needs no random forests."""
    varied = {key for each in finished for key in each.params}
    if len(finished) < _LEAST_FOR_IMPORTANCES or len(varied) < 2:
        return {}
    return get_param_importances(
        study,
        evaluator=PedAnovaImportanceEvaluator(),
        target=None if len(study.directions) == 1 else lambda trial: trial.values[place],
    )
