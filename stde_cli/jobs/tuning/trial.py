"""A run as a trial of a study: in whatever process, it tells the study itself what becomes of it.

All that it knows of the study is in its configuration, under `trial`.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from stde_cli.jobs.tuning.objectives import ERRORS
from stde_cli.runs.summary import PRUNED, Summary
from stde_cli.system.errors import Interrupted, RunFailed

FAILURE, RUN_DIR = "failure", "run_dir"
"""What the study keeps of a trial beside its values: why it failed, where its run is."""


class Trial:
    """
    Attributes:
        settings: `trial` of the configuration.
    """

    def __init__(self, settings: dict[str, Any]):
        self.settings = settings

    @property
    def number(self) -> int:
        return self.settings["number"]

    @property
    def objective(self) -> str:
        """That figures on the way are of."""
        return self.settings["objectives"][0]

    @property
    def prunes(self) -> bool:
        """Whether a run can be held against others on its way: by one objective, an error."""
        return len(self.settings["objectives"]) == 1 and self.objective in ERRORS

    def report(self, step: int, figure: float) -> bool:
        """Tell the study a figure on the way; returns whether it gives the run up."""
        if step not in self._study.get_trials(deepcopy=False)[self.number].intermediate_values:
            self._asked.report(figure, step)
        return bool(self._asked.should_prune())

    def begin(self, place: Path | None) -> None:
        """The run is at work in `place` from now on.

        Raises:
            RunFailed: the study has given the trial up already: nobody was at work on it.
        """
        if self._is_over():
            raise RunFailed(f"trial {self.number} of the study is over already")
        self._asked.set_user_attr(RUN_DIR, str(place.absolute()) if place else None)

    def tell(self, summary: Summary) -> None:
        """Tell the study how the run has ended."""
        if summary.status == PRUNED:
            self._study.tell(self.number, state=_state("PRUNED"), skip_if_finished=True)
            return
        found = {name: getattr(summary, name) for name in self.settings["objectives"]}
        for name, value in found.items():
            if value is None or not math.isfinite(value):
                self.fail(f"{name} is {'unknown' if value is None else 'not finite'}")
                return
        self._study.tell(self.number, list(found.values()), skip_if_finished=True)

    def fail(self, why: str) -> None:
        """Tell the study that there is no result."""
        if not self._is_over():
            self._asked.set_user_attr(FAILURE, why)
            self._study.tell(self.number, state=_state("FAIL"), skip_if_finished=True)

    def _is_over(self) -> bool:
        return self._study.get_trials(deepcopy=False)[self.number].state.is_finished()

    @cached_property
    def _study(self) -> Any:
        from optuna import load_study
        from optuna.samplers import RandomSampler

        from stde_cli.jobs.tuning.storage import made, open_storage

        storage = open_storage(Path(self.settings["storage"]))
        # Nothing is sampled here: this sampler makes no preparations for it.
        return load_study(
            study_name=self.settings["study"],
            storage=storage,
            sampler=RandomSampler(),
            pruner=made(self.settings["pruner"]),
        )

    @cached_property
    def _asked(self) -> Any:
        from optuna.trial import Trial as OptunaTrial

        return OptunaTrial(
            self._study, self._study.get_trials(deepcopy=False)[self.number]._trial_id
        )


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]


def trial_of(config: DictConfig) -> Trial | None:
    """The trial that a run of `config` is, if it is one."""
    if config.trial is None:
        return None
    settings: Any = OmegaConf.to_container(config.trial, resolve=True)
    return Trial(settings)


@contextmanager
def told(config: DictConfig) -> Iterator[Trial | None]:
    """A context in which a run is made: if it is a trial, its study hears of a failure.

    Of an interruption it hears nothing: the run is to go on.
    """
    trial = trial_of(config)
    try:
        yield trial
    except (Interrupted, KeyboardInterrupt):
        raise
    except Exception as error:
        if trial:
            trial.fail(str(error))
        raise
