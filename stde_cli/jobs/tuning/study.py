"""A study as its sweepers have it: several processes, on several machines, may share one.

Trials are asked for in turn, so that all processes together run no more than were wanted. Those of
a process that died are given up and tried again, in the run directory that they left.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from stde_cli.jobs.tuning.processes import Processes
from stde_cli.jobs.tuning.storage import KEY, made, open_storage
from stde_cli.jobs.tuning.trial import FAILURE, RUN_DIR
from stde_cli.runs.directory import RunDirectory
from stde_cli.system.errors import UsageError
from stde_cli.system.files import missing_directories, remove_empty

_PROCESS, _TRIES, _GIVEN_UP = "process", "tries", "given_up"
_MOST_TRIES = 3
"""Of a trial whose process died: it may be the trial that kills it."""


@dataclass(frozen=True)
class Purpose:
    """What makes two studies the same.

    Attributes:
        settings: of the configuration, by dotted keys, but for what is searched.
    """

    space: Mapping[str, BaseDistribution]
    objectives: Sequence[str]
    settings: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        space = {key: distribution_to_json(each) for key, each in self.space.items()}
        found = {"space": space, "objectives": [*self.objectives], "settings": {**self.settings}}
        return json.loads(json.dumps(found, default=str))


@dataclass(frozen=True)
class Asked:
    """A trial to be run.

    Attributes:
        run_dir: where it was begun before, if it was.
    """

    number: int
    values: Mapping[str, Any]
    run_dir: str | None


class SharedStudy:
    """One process's hold on a study."""

    def __init__(
        self,
        path: Path,
        name: str,
        purpose: Purpose,
        *,
        sampler: Mapping[str, Any],
        pruner: Mapping[str, Any],
    ):
        """
        Raises:
            UsageError: the file cannot be written, or holds a study of another purpose.
        """
        self._purpose = purpose
        there = missing_directories(path)
        storage = open_storage(path)
        try:
            self._processes = Processes(path.with_name(f"{path.name}.processes"))
        except OSError as error:
            remove_empty(there)
            why = f"cannot be written to ({error.strerror})"
            raise UsageError(KEY, path, why, "choose another") from error
        try:
            with self._processes.turn():
                self.study = optuna.create_study(
                    storage=storage,
                    sampler=made(_seeded(sampler, self._processes.number)),
                    pruner=made(pruner),
                    study_name=name,
                    directions=[StudyDirection.MINIMIZE for _ in purpose.objectives],
                    load_if_exists=True,
                )
                self._refuse_another(path)
                self.study.set_user_attr("purpose", purpose.as_dict())
        except BaseException:
            self._processes.leave()
            raise

    def leave(self) -> None:
        """Others take what this process has not finished for abandoned."""
        self._processes.leave()

    def _refuse_another(self, path: Path) -> None:
        there = self.study.user_attrs.get("purpose")
        if there is None and not self.study.get_trials(deepcopy=False):
            return
        here = self._purpose.as_dict()
        if there != here:
            why = f"it holds {_difference(there, here)}"
            mend = "give another storage or study_name, or what that study was given"
            raise UsageError(KEY, path, why, mend)

    def ask(self, most: int, *, in_all: int) -> list[Asked]:
        """Up to `most` trials, and no more than the study still wants."""
        with self._processes.turn():
            left = in_all - sum(map(_counts, self.study.get_trials(deepcopy=False)))
            return [self._ask() for _ in range(min(most, left))]

    def _ask(self) -> Asked:
        trial = self.study.ask(dict(self._purpose.space))
        trial.set_user_attr(_PROCESS, self._processes.number)
        return Asked(trial.number, trial.params, trial.user_attrs.get(RUN_DIR))

    def try_again(self) -> list[int]:
        """Give up the trials of processes that are gone, and try them once more.

        Returns:
            their numbers.
        """
        with self._processes.turn():
            trials = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            abandoned = [trial for trial in trials if not self._is_at_work(trial)]
            for trial in abandoned:
                self._try_again(trial)
        return [trial.number for trial in abandoned]

    def _is_at_work(self, trial: FrozenTrial) -> bool:
        process, place = trial.user_attrs.get(_PROCESS), trial.user_attrs.get(RUN_DIR)
        if process is not None and self._processes.is_alive(process):
            return True
        # A job of Slurm outlives the process that sent it.
        return place is not None and RunDirectory(Path(place)).at_work()

    def _try_again(self, trial: FrozenTrial) -> None:
        tries = trial.user_attrs.get(_TRIES, 1)
        again = tries < _MOST_TRIES and set(trial.params) == set(self._purpose.space)
        self._set(trial.number, _GIVEN_UP, again)
        self.fail(trial.number, "its process ended without a word")
        if again:
            kept = {RUN_DIR: trial.user_attrs.get(RUN_DIR), _TRIES: tries + 1}
            self.study.enqueue_trial(trial.params, user_attrs=kept)

    def fail(self, number: int, why: str) -> None:
        """Of a trial that has not told by itself how it ended."""
        if self.trial(number).state.is_finished():
            return
        self._set(number, FAILURE, why)
        self.study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def trial(self, number: int) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[number]

    def _set(self, number: int, key: str, value: Any) -> None:
        self.study._storage.set_trial_user_attr(self.trial(number)._trial_id, key, value)


def was_given_up(trial: FrozenTrial) -> bool:
    """Whether another trial stands for it."""
    return trial.user_attrs.get(_GIVEN_UP, False)


def _counts(trial: FrozenTrial) -> bool:
    return trial.state is not TrialState.WAITING and not was_given_up(trial)


def _seeded(sampler: Mapping[str, Any], process: int) -> Mapping[str, Any]:
    """Processes that share a study do not draw the same, nor does one that goes on with it."""
    seed = sampler.get("seed")
    if seed is None or process == 0:
        return sampler
    return {**sampler, "seed": int(np.random.SeedSequence([seed, process]).generate_state(1)[0])}


def _difference(there: Mapping[str, Any] | None, here: Mapping[str, Any]) -> str:
    if there is None:
        return "a study that is none of stde's"
    if there["objectives"] != here["objectives"]:
        return f"a study of other objectives, {', '.join(there['objectives'])}"
    for part, what in (("space", "search space"), ("settings", "configuration")):
        for key in {**there[part], **here[part]}:
            if there[part].get(key) != here[part].get(key):
                return f"a study of another {what}, with {_shown(key, there[part])}"
    return "a study of another kind"


def _shown(key: str, found: Mapping[str, Any]) -> str:
    if key not in found:
        return f"no {key}"
    value = found[key]
    if isinstance(value, str) and value.startswith('{"name"'):
        values = json.loads(value)["attributes"]
        value = values.get("choices", [values.get("low"), values.get("high")])
    return f"{key}={value}"
