"""A solve from its configuration to its summary, new or resumed."""

import math
import shutil
import time
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np
from jax.errors import JaxRuntimeError
from omegaconf import DictConfig, OmegaConf

from stde_cli.config import saved
from stde_cli.config.build import (
    Built,
    abstract_state,
    build,
    build_tracker,
    configured_jax,
    refusing,
)
from stde_cli.objective.metrics import Errors, Evaluator
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.tracking import Tracker
from stde_cli.runs.tracking.console import Progress, RunConsole
from stde_cli.system.environment import git_revision, versions
from stde_cli.system.errors import Interrupted, RunFailed, UsageError
from stde_cli.system.interrupts import Interrupts
from stde_cli.system.resources import (
    available_memory_bytes,
    device_name,
    peak_memory_mb,
    reset_peak_memory,
)
from stde_cli.training import Chunk, Executable, Initialisation, TrainerState, advance
from stde_cli.training.checkpoint import Checkpoints
from stde_cli.training.state import parameter_count, state_bytes

_SMALLER = "lower train.points, estimator.batch or network.width, or take network=weight_sharing"


def solve(
    config: DictConfig,
    run: RunDirectory,
    *,
    command: str,
    interrupts: Interrupts,
    job: str | None = None,
    again: bool = False,
) -> dict[str, Any]:
    """Train from the first step. Returns the summary.

    `run` is new, or `again` says that it is a run of this configuration that saved nothing: it
    begins anew in its place.

    `job` is the run's name where others share its screen.

    Raises:
        UsageError: `run` holds something else, or the configuration cannot work: then what there
            is of the run is removed again.
        RunFailed: the run turned non-finite; the last good checkpoint is kept.
        Interrupted: a signal came; the state was saved first.
    """
    with run.locked():
        if not again:
            # Another process may have been faster.
            run.refuse_if_taken()
            run.clear()
        try:
            with configured_jax(config):
                return _Session(config, run, command, interrupts, job).run()
        except (UsageError, Interrupted, OSError, KeyboardInterrupt):
            # Refused or stopped before the first step: nothing half-written stays.
            if not run.has_progress():
                run.discard()
            raise


def resume(
    config: DictConfig,
    run: RunDirectory,
    *,
    command: str,
    interrupts: Interrupts,
    job: str | None = None,
) -> dict[str, Any]:
    """Go on from the newest checkpoint of `run`, as `solve` would have. Returns the summary."""
    with run.locked(), configured_jax(config):
        return _Session(config, run, command, interrupts, job, resumed=True).run()


class _Session:
    def __init__(
        self,
        config: DictConfig,
        run: RunDirectory,
        command: str,
        interrupts: Interrupts,
        job: str | None = None,
        *,
        resumed: bool = False,
    ):
        self.config, self.run_directory, self.resumed = config, run, resumed
        self.interrupts, self.job = interrupts, job
        self.started = time.perf_counter()
        reset_peak_memory()
        self.abstract = abstract_state(config)
        _check_room(config, run, self.abstract)
        self.built: Built = build(config)
        steps = config.steps
        self.log_every = config.train.log_every or max(1, steps // 100)
        self.evaluate_every = config.evaluation.every or max(1, steps // 10)
        self.summary: dict[str, Any] = {
            "status": "running",
            "command": command,
            "run_dir": str(run.path),
            "pde": config.choices.get("pde"),
            "solution": config.choices.get("pde/solution"),
            "dim": config.dim,
            "seed": config.seed,
            "steps": 0,
            "steps_planned": steps,
            "loss": None,
            "rel_l1_error": None,
            "rel_l2_error": None,
            "trivial_rel_l2_error": None,
            "residual_rms": None,
            "steps_per_second": None,
            "compile_seconds": None,
            "wall_seconds": 0.0,
            "peak_memory_mb": None,
            "parameters": parameter_count(self.abstract.ansatz.network),
            "device": device_name(),
            "versions": versions(),
            "git_revision": git_revision(),
        }
        self.earlier_seconds = 0.0
        if resumed:
            earlier = run.read_summary()
            self.earlier_seconds = earlier.get("wall_seconds") or 0.0
            # A run stopped in its last evaluation has no step left to measure anew.
            kept = ("command", "loss", "steps_per_second")
            self.summary |= {key: earlier[key] for key in kept if key in earlier}
        self.calls, self.steady_steps, self.steady_seconds = 0, 0, 0.0
        self.errors: Errors | None = None

    def run(self) -> dict[str, Any]:
        """Train, evaluate, and leave a complete run directory whatever happens."""
        run, config = self.run_directory, self.config
        with ExitStack() as stack:
            self.checkpoints = Checkpoints(run.checkpoints, config.checkpoint.keep)
            stack.callback(self.checkpoints.close)
            # First of all: a run whose checkpoint is damaged is refused and left as it was.
            restored = self._restore() if self.resumed else None
            if restored is None:
                run.write_config(OmegaConf.to_yaml(saved.kept(config)))
                run.forget_metrics_after(0)
            title = f"{config.choices.get('pde')} · {config.dim:,} dimensions · {run.path}"
            self.console = stack.enter_context(RunConsole(run, title, self.job))
            self.tracker: Tracker = build_tracker(config)
            settings = saved.kept(config)
            try:
                self._write_summary("running")
                self.tracker.start(run, settings, self.console.line)
                self._train(restored)
            except BaseException as error:
                stopped = isinstance(error, Interrupted | KeyboardInterrupt)
                self._end("interrupted" if stopped else "failed")
                # A full disk exhausts a resource, too, and has been explained.
                if isinstance(error, JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error):
                    asked = str(error).splitlines()[0]
                    why = f"out of memory ({asked})"
                    raise UsageError("dim", config.dim, why, _SMALLER) from error
                raise
            self._end("finished")
        return self.summary

    def _train(self, restored: TrainerState | None) -> None:
        console, config = self.console, self.config
        console.stage("compiling")
        problem = self.built.problem
        with refusing(config):
            executable = Executable(problem, self.abstract)
        self.summary["compile_seconds"] = executable.compile_seconds
        needed = executable.temp_memory_bytes
        if restored is None:
            needed += executable.argument_memory_bytes
        _check_memory(config, needed, "a training step takes")
        state = restored or self._first_state()
        self.evaluator = Evaluator(problem.pde, problem.estimator, problem.points)
        self.saved_at = time.monotonic()
        console.stage(f"training from step {int(state.step)}")
        for chunk in advance(
            executable,
            state,
            stop=config.steps,
            next_event=self._next_event,
            max_steps_per_call=config.train.steps_per_call or config.steps,
        ):
            state = chunk.state
            self._after(chunk)
        self._finish(state)

    def _first_state(self) -> TrainerState:
        with refusing(self.config):
            initialisation = Initialisation(self.built.initialise)
        self.summary["compile_seconds"] += initialisation.compile_seconds
        needed, mend = initialisation.memory_bytes, f"{_SMALLER}, or start=trivial_solution"
        _check_memory(self.config, needed, "finding where to start takes", mend)
        self.console.stage("finding where to start")
        state = initialisation(between=self._stop_before_the_first_step)
        self._stop_before_the_first_step()
        return state

    def _stop_before_the_first_step(self) -> None:
        if signal := self.interrupts.received:
            raise Interrupted(f"stopped by {signal.name} before the first step", signal)

    def _restore(self) -> TrainerState:
        state = self.checkpoints.restore(self.abstract)
        self.run_directory.forget_metrics_after(int(state.step))
        self.summary["steps"] = int(state.step)
        return state

    def _next_event(self, step: int) -> int:
        """The next step at which something is due after `step`."""
        intervals = [self.log_every, self.evaluate_every]
        if self.config.checkpoint.every:
            intervals.append(self.config.checkpoint.every)
        return min((step // interval + 1) * interval for interval in intervals)

    def _after(self, chunk: Chunk) -> None:
        """Everything that may be due after a chunk."""
        step, config = chunk.step, self.config
        bad = [k for k, loss in enumerate(chunk.losses) if not math.isfinite(loss)]
        if bad:
            first = step - len(chunk.losses) + bad[0] + 1
            raise RunFailed(
                f"the loss is not finite at step {first}; {self.checkpoints.kept()}; "
                "lower optimizer.learning_rate or set train.gradient_clip"
            )
        self.summary.update(steps=step, loss=float(chunk.losses[-1]))
        self._time(chunk)
        evaluating = step % self.evaluate_every == 0 and step < config.steps
        if evaluating:
            evaluating = self._monitor(chunk.state)
        progress = Progress(
            step=step,
            steps=config.steps,
            loss=float(chunk.losses[-1]),
            learning_rate=float(np.asarray(self.built.schedule(step - 1))),
            steps_per_second=self.steady_steps / self.steady_seconds,
            peak_memory_mb=peak_memory_mb(),
            errors=self.errors,
            evaluated=evaluating,
        )
        if step % self.log_every == 0 or step == config.steps or evaluating:
            self.tracker.log(step, self._figures(progress))
        self.console.update(progress, chunk.losses.tolist())
        self._save_if_due(chunk)
        self._stop_if_asked(chunk.state)

    def _time(self, chunk: Chunk) -> None:
        """Keep the speed of the steady state: the first call, which warms up, counts only alone."""
        if self.calls == 1:
            self.steady_steps, self.steady_seconds = 0, 0.0
        self.calls += 1
        self.steady_steps += len(chunk.losses)
        self.steady_seconds += chunk.seconds

    def _figures(self, progress: Progress) -> dict[str, float]:
        figures = {
            "loss": progress.loss,
            "learning_rate": progress.learning_rate,
            "steps_per_second": progress.steps_per_second,
            "seconds": self._wall_seconds(),
            "peak_memory_mb": progress.peak_memory_mb,
        }
        if progress.evaluated and self.errors:
            figures |= self.errors._asdict()
        return figures

    def _save_if_due(self, chunk: Chunk) -> None:
        settings = self.config.checkpoint
        by_step = settings.every is not None and chunk.step % settings.every == 0
        by_time = time.monotonic() - self.saved_at >= 60 * settings.minutes
        if by_step or by_time:
            self.checkpoints.save(chunk.state)
            self.saved_at = time.monotonic()

    def _stop_if_asked(self, state: TrainerState) -> None:
        signal = self.interrupts.received
        if signal is None:
            return
        self.checkpoints.save(state)
        raise Interrupted(
            f"stopped by {signal.name} after step {int(state.step)}, which is saved; "
            f"go on with: stde resume {self.run_directory.path}",
            signal,
        )

    def _monitor(self, state: TrainerState) -> bool:
        """Errors in passing. False where a signal cut them short; the step is still logged."""
        try:
            self._evaluate(state, self.config.evaluation.monitor_points)
        except Interrupted:
            return False
        return True

    def _evaluate(self, state: TrainerState, points: int) -> None:
        self.errors = self.evaluator.errors(
            state.ansatz,
            points,
            key=self.built.keys.test,
            between=lambda: self._stop_if_asked(state),
        )

    def _finish(self, state: TrainerState) -> None:
        evaluation = self.config.evaluation
        self.checkpoints.save(state)
        self.console.stage(f"evaluating on {evaluation.points} points")
        self._evaluate(state, evaluation.points)
        if self.errors:
            self.summary.update(self.errors._asdict())
        self.summary["residual_rms"] = self.evaluator.residual_rms(
            state.ansatz,
            evaluation.monitor_points,
            key=self.built.keys.residual,
            between=lambda: self._stop_if_asked(state),
        )

    def _end(self, status: str) -> None:
        # What ended the run is worth more than an error in saying so: a full disk, say.
        with suppress(OSError):
            self._write_summary(status)
        self.tracker.finish(self.summary)

    def _write_summary(self, status: str) -> None:
        self.summary.update(
            status=status,
            wall_seconds=self._wall_seconds(),
            peak_memory_mb=peak_memory_mb(),
        )
        if self.steady_seconds:
            self.summary["steps_per_second"] = self.steady_steps / self.steady_seconds
        self.run_directory.write_summary(self.summary)

    def _wall_seconds(self) -> float:
        return self.earlier_seconds + time.perf_counter() - self.started


def _check_room(config: DictConfig, run: RunDirectory, state: TrainerState) -> None:
    """Refuse a run whose state fits neither memory nor disk, before anything is compiled."""
    needed = state_bytes(state)
    _check_memory(config, needed, "parameters and optimizer state take")
    free = shutil.disk_usage(run.path).free
    if needed > free:
        raise UsageError(
            "run_dir",
            run.path,
            f"a checkpoint takes {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free there",
            "choose another file system",
        )


def _check_memory(config: DictConfig, needed: int, what: str, mend: str = _SMALLER) -> None:
    available = available_memory_bytes()
    if config.runtime.check_memory and available is not None and needed > available:
        raise UsageError(
            "dim",
            config.dim,
            f"{what} {needed / 1e9:.1f} GB, {available / 1e9:.1f} GB are free",
            f"{mend}, or set runtime.check_memory=false to try all the same",
        )
