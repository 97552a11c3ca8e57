"""The sweeper behind `hydra/sweeper=optuna`: asks a study for trials, and the launcher to run them.

The runs tell the study themselves what became of them (`jobs/tuning/trial.py`): what is launched
here may end on another machine, after this process.
"""

import logging
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import equinox as eqx
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from stde_cli.cli import sweeps
from stde_cli.config import kept
from stde_cli.config.build import build_pde, configured_jax
from stde_cli.config.composition import choices, explained, override
from stde_cli.config.schema import TuningConfig
from stde_cli.config.targets import check_target
from stde_cli.config.validate import check_schema, validate
from stde_cli.jobs.tuning.objectives import objectives_for
from stde_cli.jobs.tuning.outcome import FILE, Outcome, table, write
from stde_cli.runs.reporting.tables import figure, shown
from stde_cli.runs.sweep import RECORD
from stde_cli.runs.tracking.screen import screen
from stde_cli.system.errors import Interrupted, StdeError, SweepFailed, UsageError

_STUDY = "study.journal"
_WIDEST = 10_000
_ALONE = "pruning is off: a run is held against others by one objective, an error"


class Tuning:
    """One command's part in a study.

    Args:
        settings: hydra.sweeper.
        config: of the command, as Hydra composed it without the ranges.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        config: DictConfig,
        context: HydraContext,
        launcher: Launcher,
    ):
        self._config, self._launcher = config, launcher
        self._load = context.config_loader.load_sweep_config
        self._loader = context.config_loader
        self._settings: dict[str, Any] = {
            key: OmegaConf.to_container(value, resolve=True)
            if OmegaConf.is_config(value)
            else value
            for key, value in settings.items()
        }
        self._directory = Path(config.hydra.sweep.dir)

    def run(self, arguments: Sequence[str]) -> None:
        """
        Raises:
            UsageError: the settings cannot work, or the study is another one.
            SweepFailed: no trial of the study has finished.
        """
        _require_optuna()
        from optuna.pruners import BasePruner, NopPruner
        from optuna.samplers import BaseSampler

        from stde_cli.config.search_space import an_example, overrides_of, search_space, split
        from stde_cli.jobs.tuning.study import Purpose, SharedStudy

        if self._config.hydra.job.config_name != "solve":
            raise UsageError("hydra/sweeper", "optuna", "only stde solve is tuned")
        told = sweeps.Begin.sweep
        assert told is not None
        told.tells_itself = True
        check_schema(self._settings, TuningConfig, "hydra.sweeper.")
        for name, kind in (("sampler", BaseSampler), ("pruner", BasePruner)):
            check_target(self._settings.get(name), kind, f"hydra.sweeper.{name}")
        ranges = [f"{key}={value}" for key, value in self._settings["params"].items()]
        parser = OverridesParser.create(config_loader=self._loader)
        self._fixed, searched = split(parser.parse_overrides([*ranges, *arguments]))
        base = self._composed(self._fixed)
        space = search_space(searched, base)
        example = self._composed([*self._fixed, *overrides_of(an_example(space))])
        validate(example)
        self._objectives = _objectives(self._settings["objectives"], example)
        path = Path(self._settings["storage"] or self._directory / _STUDY)
        purpose = Purpose(space, self._objectives, _of_all_trials(base, space))
        study = SharedStudy(
            path,
            self._settings["study_name"],
            purpose,
            sampler=self._settings["sampler"],
            pruner=self._settings["pruner"],
        )
        self._study, self._path = study, path
        self._console = screen()
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            OmegaConf.save(self._config, self._directory / RECORD)
            self._say_what_begins(isinstance(study.study.pruner, NopPruner))
            with _launchers_quiet():
                self._until_enough()
        except KeyboardInterrupt as error:
            cause = error.__cause__
            if not isinstance(cause, Interrupted):
                raise
            mend = f"the same command with hydra.sweep.dir={self._directory}"
            raise Interrupted(
                f"the study was stopped, what was trained is saved; go on with: {mend}",
                cause.signal_number,
            ) from error
        finally:
            study.leave()
        self._conclude()

    def _say_what_begins(self, unpruned: bool) -> None:
        n, names = self._settings["n_trials"], " and ".join(self._objectives)
        self._say(f"study {self._path}: {n} trials, {names} to be made small")
        from stde_cli.jobs.tuning.trial import Trial

        if not unpruned and not Trial({"objectives": self._objectives}).prunes:
            self._say(_ALONE)
        if again := self._study.try_again():
            trials = ", ".join(map(str, again))
            self._say(f"given up, for their process is gone, and tried again: trials {trials}")

    def _until_enough(self) -> None:
        from stde_cli.config.search_space import overrides_of

        n_jobs, in_all = self._settings["n_jobs"], self._settings["n_trials"]
        while asked := self._study.ask(n_jobs, in_all=in_all):
            batch: dict[int, list[str]] = {}
            for trial in asked:
                values = overrides_of(trial.values)
                self._say(f"trial {trial.number}  {'  '.join(values)}")
                typed = [*self._fixed, *values]
                if self._composes(trial.number, typed):
                    batch[trial.number] = [*typed, *self._of_trial(trial)]
            if batch:
                found = self._launcher.launch([*batch.values()], initial_job_idx=min(batch))
                self._settle(batch, found)
            for trial in asked:
                self._say_end_of(trial.number)
            self._write()

    def _composes(self, number: int, overrides: list[str]) -> bool:
        """Whether the configuration of a trial exists: the launcher would end the sweep."""
        try:
            self._composed(overrides)
        except StdeError as error:
            self._study.fail(number, str(error))
            return False
        return True

    def _of_trial(self, trial: Any) -> Iterator[str]:
        """The overrides that make a run a trial, which may be begun again."""
        yield override(
            "trial",
            {
                "storage": str(self._path.absolute()),
                "study": self._settings["study_name"],
                "number": trial.number,
                "objectives": self._objectives,
                "pruner": self._settings["pruner"],
            },
        )
        if trial.run_dir is not None:
            yield override("run_dir", trial.run_dir)
        yield "resume=auto"

    def _settle(self, batch: Mapping[int, Any], results: Sequence[JobReturn]) -> None:
        """What has not told the study how it ended never will."""
        for number, result in zip(batch, results, strict=True):
            error = result._return_value
            if isinstance(error, Interrupted):
                continue
            told = isinstance(error, StdeError)
            if isinstance(error, BaseException) and not told:
                raise error
            self._study.fail(number, str(error) if told else "it ended without a word")

    def _say_end_of(self, number: int) -> None:
        from stde_cli.jobs.tuning.reading import outcome_of

        outcome = outcome_of(self._study.study)
        trial = outcome.trial(number)
        parts = [f"trial {number} {trial.status}"]
        parts += [f"{name} {figure(value)}" for name, value in trial.figures.items()]
        if outcome.best and len(self._objectives) == 1:
            best = outcome.trial(outcome.best[0])
            parts.append(f"(best: {figure(*best.figures.values())}, trial {best.number})")
        self._say("  ".join(parts))

    def _conclude(self) -> None:
        outcome = self._write()
        if not outcome.best:
            reasons = [trial.failure for trial in outcome.trials if trial.failure]
            why = f"; the first: {reasons[0]}" if reasons else ""
            raise SweepFailed(f"no trial of the study has finished: {outcome.counts()}{why}", 1)
        # As in `stde report`: what is wider than the screen runs on.
        wide = screen()
        wide.width = _WIDEST
        wide.print(shown(table(outcome)))
        self._say(f"study  {self._directory / FILE}")
        self._say(f"  stde report {shlex.quote(str(self._directory))} --html report.html")
        self._say(f"  {outcome.command}")

    def _write(self) -> Outcome:
        from stde_cli.jobs.tuning.reading import outcome_of

        outcome = outcome_of(self._study.study)
        if outcome.best:
            outcome.command = self._command(outcome.trial(outcome.best[0]).values)
        write(outcome, self._directory)
        return outcome

    def _command(self, values: Mapping[str, Any]) -> str:
        """What runs the best trial again, by itself."""
        from stde_cli.config.search_space import overrides_of

        sources: Any = OmegaConf.to_container(self._config.hydra.runtime.config_sources)
        own = [s["path"] for s in sources if s["provider"] == "command-line"]
        flags = ["--config-dir", own[0]] if own else []
        return shlex.join(["stde", "solve", *flags, *self._fixed, *overrides_of(values)])

    def _composed(self, overrides: Sequence[str]) -> DictConfig:
        with explained("solve", overrides):
            config = self._load(self._config, list(overrides))
            with open_dict(config):
                config.choices = choices(config.pop("hydra"))
            return config

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)


@contextmanager
def _launchers_quiet() -> Iterator[None]:
    """Launchers would print what each trial is, with all that makes it one."""
    loggers = [logging.getLogger(name) for name in ("hydra", "hydra_plugins")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _require_optuna() -> None:
    if find_spec("optuna") is None:
        mend = "pip install 'stde[tune]'"
        raise UsageError("hydra/sweeper", "optuna", "optuna is not installed", mend)


def _objectives(asked: list[str] | None, example: DictConfig) -> list[str]:
    found: list[str] = []

    def look() -> None:
        reference = example.reference.method != "none"
        found.extend(objectives_for(asked, build_pde(example), reference=reference))

    with configured_jax(example):
        # Traced, not run: what a PDE knows of itself is no array.
        eqx.filter_eval_shape(look)
    return found


def _of_all_trials(base: DictConfig, space: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that no trial changes."""
    searched = [key.lstrip("+").partition("@")[0] for key in space]
    changed = [key.replace("/", ".") for key in searched]
    changed += [f"choices.{key}" for key in searched]
    return {
        key: value
        for key, value in kept.settings(base).items()
        if not any(key == each or key.startswith(f"{each}.") for each in changed)
    }
