"""A solve from its configuration to its summary, new or resumed.

    check that it fits → compile → find where to start, or restore → train → evaluate

What is due while it trains, from a line of figures to a save, is `training/events.py`; what became
of the run is kept by `_Record`, whatever ends it.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress

import numpy as np
from jax.errors import JaxRuntimeError
from omegaconf import DictConfig, OmegaConf

from stde_cli.config.build import (
    Built,
    build_tracker,
    configured_jax,
)
from stde_cli.config.kept import kept
from stde_cli.config.variants import Candidate
from stde_cli.jobs.preparation import out_of_memory, planned, prepared
from stde_cli.jobs.race import Won, race
from stde_cli.jobs.reference import find_reference
from stde_cli.jobs.tuning.trial import trial_of
from stde_cli.objective.at_point import far_from_point, value_at_point
from stde_cli.objective.metrics import Evaluator, held_against
from stde_cli.runs.attempts import Attempts
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.summary import FAILED, FINISHED, INTERRUPTED, PRUNED, RUNNING, Summary
from stde_cli.runs.tracking import Tracker
from stde_cli.runs.tracking.console import RunConsole
from stde_cli.system.environment import git_revision, versions
from stde_cli.system.errors import Interrupted, Pruned, StdeError, Unexpected, UsageError
from stde_cli.system.interrupts import Interrupts
from stde_cli.system.resources import (
    device_name,
    peak_memory_mb,
    reset_peak_memory,
)
from stde_cli.system.slurm import this_job
from stde_cli.training import Chunk, TrainerState, advance
from stde_cli.training.checkpoint import Checkpoints
from stde_cli.training.events import (
    CheckLoss,
    Event,
    Monitor,
    Prune,
    Report,
    Save,
    Speed,
    Stop,
    next_event,
)
from stde_cli.training.start import told
from stde_cli.training.state import parameter_count


def solve(
    config: DictConfig,
    run: RunDirectory,
    *,
    command: str,
    interrupts: Interrupts,
    job: str | None = None,
    again: bool = False,
    candidates: Sequence[Candidate] = (),
) -> Summary:
    """Train from the first step; where there are `candidates`, the best of them.

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
        started, won, racing = time.perf_counter(), None, bool(candidates)
        reset_peak_memory()
        try:
            if racing:
                with _announced(config, run, command, interrupts):
                    won = race(config, candidates, run, interrupts, job)
                run.write_asked(OmegaConf.to_yaml(kept(config)))
                config, racing = won.ready.plan.config, False
            with configured_jax(config):
                summary = _run(config, run, command, interrupts, job, started, won=won)
        except BaseException as error:
            # Refused or stopped before the first step: nothing half-written stays, but for what
            # Slurm will start again. What ends in a race has not begun, whatever ends it.
            comes_again = isinstance(error, Interrupted) and this_job() is not None
            stopped = isinstance(error, UsageError | Interrupted | OSError | KeyboardInterrupt)
            if not comes_again and (racing or (stopped and not run.has_progress())):
                run.discard()
            raise
        _write_report(config, run)
    return summary


@contextmanager
def _announced(
    config: DictConfig, run: RunDirectory, command: str, interrupts: Interrupts
) -> Iterator[None]:
    """Within the context a race is on: a job that is ended in it, and comes again, finds out."""
    run.write_config(OmegaConf.to_yaml(kept(config)))
    run.write_summary(_announcement(config, run, command))
    attempts, job = Attempts(run.path), this_job()
    attempts.begin(0, job and job.name, job and job.node)
    try:
        yield
    except BaseException:
        by = interrupts.received
        attempts.end(INTERRUPTED if by else FAILED, 0, by.name if by else None)
        raise
    # The run itself is the attempt, from here on.
    attempts.withdraw()


def resume(
    config: DictConfig,
    run: RunDirectory,
    *,
    command: str,
    interrupts: Interrupts,
    job: str | None = None,
) -> Summary:
    """Go on from the newest checkpoint of `run`, as `solve` would have.

    Where `config` asks for another number of steps than the run was to take, config.yaml keeps it.

    Raises:
        UsageError: it has no checkpoint that can be read, or has taken more steps than these.
    """
    with run.locked():
        with configured_jax(config):
            started, earlier = time.perf_counter(), run.read_summary()
            reset_peak_memory()
            summary = _run(config, run, command, interrupts, job, started, earlier=earlier)
        _write_report(config, run)
    return summary


def _write_report(config: DictConfig, run: RunDirectory) -> None:
    if not config.report:
        return
    try:
        # Matplotlib takes half a second, which other runs need not wait for.
        from stde_cli.jobs.reports.groups import gather
        from stde_cli.jobs.reports.page import write_page

        write_page(gather([run.path]), run.report, title=str(run.path), trust=True)
    # The run is finished and kept, whatever becomes of a page about it.
    except Exception as error:
        why = " ".join(str(error).split())
        print(f"stde: warning: {run.report} was not written ({why})", file=sys.stderr)


def _run(
    config: DictConfig,
    run: RunDirectory,
    command: str,
    interrupts: Interrupts,
    job: str | None,
    started: float,
    *,
    earlier: Summary | None = None,
    won: Won | None = None,
) -> Summary:
    """Train, evaluate, and leave a complete run directory whatever happens."""
    # All that may refuse comes before anything is written; a tracker, what the environment says.
    tracker = build_tracker(config)
    plan = planned(config, run) if won is None else won.ready.plan
    built, shapes = plan.built, plan.shapes
    with ExitStack() as stack:
        checkpoints = Checkpoints(run.checkpoints, config.checkpoint.keep)
        stack.callback(checkpoints.close)
        # First of all: a run whose checkpoint is damaged is refused and left as it was.
        state = None if earlier is None else checkpoints.restore(shapes)
        done = 0 if state is None else int(state.step)
        if done > config.steps:
            why = f"{run.path} has taken {done} steps already"
            raise UsageError("steps", config.steps, why, "give more")
        summary = _new_summary(config, run, command, shapes)
        record = _Record(run, summary, started, earlier, checkpoints, interrupts)
        extended = earlier is not None and earlier.steps_planned != config.steps
        settings = kept(config)
        if state is None:
            run.write_config(OmegaConf.to_yaml(settings))
        run.forget_metrics_after(done)
        summary.steps = done
        title = f"{config.choices.get('pde')} · {config.dim:,} dimensions · {run.path}"
        console = stack.enter_context(RunConsole(run, title, job))
        with record.of_its_end(tracker, config, console):
            tracker.start(run, settings, console.line)
            if extended:
                console.line(_about_schedule(config, built, done))
            stop = Stop(interrupts, checkpoints, run.path)
            reference = _reference(config, console, stop)
            summary.reference_at_point = reference
            if won is None:
                between = stop.before_the_first_step
                ready = prepared(plan, state, stage=console.stage, between=between)
            else:
                ready = won.ready
                summary.chosen, summary.candidates = won.name, won.left
            summary.compile_seconds = ready.compile_seconds
            if state is None and (line := told(ready.state.ansatz.guess)):
                console.line(line)
            if extended:
                run.asked.unlink(missing_ok=True)
                run.write_config(OmegaConf.to_yaml(settings))
            record.at_work()
            if far := far_from_point(built.problem.pde, key=built.keys.test):
                console.line(f"warning: {far}")
            problem = built.problem
            evaluator = Evaluator(problem.residual, problem.points)
            events = _events(
                config, built, evaluator, reference, checkpoints, record, tracker, console, stop
            )
            if (trial := trial_of(config)) and trial.prunes:
                monitor = next(event for event in events if isinstance(event, Monitor))
                report = trial.report
                events.append(Prune(trial.objective, report, monitor, checkpoints, run.path))
            console.stage(f"training from step {done}")
            state = ready.state
            for chunk in advance(
                ready.executable,
                state,
                stop=0 if won is not None and won.solved else config.steps,
                next_event=lambda step: next_event(events, step),
                max_steps_per_call=config.train.steps_per_call or config.steps,
            ):
                state = chunk.state
                for event in events:
                    event(chunk)
            checkpoints.save(state)
            console.stage(f"evaluating on {config.evaluation.points} points")
            _evaluate(config, built, evaluator, reference, state, summary, stop)
    return summary


def _events(
    config: DictConfig,
    built: Built,
    evaluator: Evaluator,
    reference: float | None,
    checkpoints: Checkpoints,
    record: "_Record",
    tracker: Tracker,
    console: RunConsole,
    stop: Stop,
) -> list[Event]:
    """What is done after a chunk, in this order."""
    steps, saving = config.steps, config.checkpoint
    monitor = Monitor(
        evaluator,
        stop,
        every=config.evaluation.every or max(1, steps // 10),
        until=steps,
        points=config.evaluation.monitor_points,
        reference=reference,
        key=built.keys.test,
    )
    report = Report(
        tracker,
        console,
        monitor,
        record.speed,
        built.problem.schedule,
        record.seconds,
        every=config.train.log_every or max(1, steps // 100),
        steps=steps,
    )
    save = Save(checkpoints, every=saving.every, minutes=saving.minutes)
    return [CheckLoss(checkpoints), record.speed, record, monitor, report, save, stop]


class _Record:
    """summary.json, kept up to date; an event of training as well.

    Attributes:
        summary: what was written last, but for what training has changed since.
        speed: the event that measures it.
    """

    every = None

    def __init__(
        self,
        run: RunDirectory,
        summary: Summary,
        started: float,
        earlier: Summary | None,
        checkpoints: Checkpoints,
        interrupts: Interrupts,
    ):
        self.summary, self.speed = summary, Speed()
        self._run, self._started, self._earlier_seconds = run, started, 0.0
        self._checkpoints, self._interrupts = checkpoints, interrupts
        self._attempts = Attempts(run.path)
        # What stands again where the run ends before it is at work.
        self._earlier = earlier
        if earlier is not None:
            self._earlier_seconds = earlier.wall_seconds
            # A run stopped in its last evaluation has no step left to measure anew.
            summary.command, summary.loss = earlier.command, earlier.loss
            summary.steps_per_second = earlier.steps_per_second
            summary.save_seconds = earlier.save_seconds

    def __call__(self, chunk: Chunk) -> None:
        self.summary.steps, self.summary.loss = chunk.step, float(chunk.losses[-1])
        self.summary.steps_per_second = self.speed.steps_per_second

    def at_work(self) -> None:
        """From now on the run is another than before it was resumed."""
        self._earlier = None

    def seconds(self) -> float:
        """That the run has been at work, also before it was resumed."""
        return self._earlier_seconds + time.perf_counter() - self._started

    @contextmanager
    def of_its_end(
        self, tracker: Tracker, config: DictConfig, console: RunConsole
    ) -> Iterator[None]:
        """Say how the run ends, whatever ends it; and where memory does, with which settings."""
        job = this_job()
        self._attempts.begin(self.summary.steps, job and job.name, job and job.node)
        try:
            self._write(RUNNING)
            yield
        except Pruned as pruned:
            console.line(str(pruned))
            self._end(PRUNED, tracker)
            return
        except BaseException as error:
            stopped = isinstance(error, Interrupted | KeyboardInterrupt)
            told = error if isinstance(error, StdeError) else Unexpected(error)
            self.summary.failure = None if stopped else str(told)
            self._end(INTERRUPTED if stopped else FAILED, tracker)
            # A full disk exhausts a resource, too, and has been explained.
            if isinstance(error, JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error):
                raise out_of_memory(config, str(error).splitlines()[0]) from error
            raise
        self._end(FINISHED, tracker)

    def _end(self, status: str, tracker: Tracker) -> None:
        # What ended the run is worth more than an error in saying so: a full disk, say.
        with suppress(OSError) if status != FINISHED else nullcontext():
            if self._earlier is None:
                self._write(status)
            else:
                self._run.write_summary(self._earlier)
            by, at = self._interrupts.received, self._interrupts.received_at
            took = None if at is None else time.monotonic() - at
            self._attempts.end(status, self.summary.steps, None if by is None else by.name, took)
        tracker.finish(self.summary.as_dict())

    def _write(self, status: str) -> None:
        self.summary.status = status
        self.summary.wall_seconds = self.seconds()
        self.summary.peak_memory_mb = peak_memory_mb()
        found = (self._checkpoints.save_seconds, self.summary.save_seconds)
        self.summary.save_seconds = max((s for s in found if s is not None), default=None)
        self._run.write_summary(self.summary)


def _new_summary(
    config: DictConfig, run: RunDirectory, command: str, shapes: TrainerState
) -> Summary:
    summary = _announcement(config, run, command)
    summary.parameters = parameter_count(shapes.ansatz.network)
    summary.device, summary.versions = device_name(), versions()
    summary.git_revision = git_revision()
    return summary


def _announcement(config: DictConfig, run: RunDirectory, command: str) -> Summary:
    return Summary(
        status=RUNNING,
        command=command,
        run_dir=str(run.path),
        pde=config.choices.get("pde"),
        solution=config.choices.get("pde/solution"),
        dim=config.dim,
        seed=config.seed,
        steps_planned=config.steps,
    )


def _about_schedule(config: DictConfig, built: Built, done: int) -> str:
    """What more steps do to the learning rate."""
    text = f"going on from step {done} to step {config.steps}"
    if "learning_rate" not in config.optimizer:
        return text
    rate = float(np.asarray(built.problem.schedule(done)))
    return f"{text}: the schedule spans all of them, so the learning rate is {rate:.2e} from here"


def _reference(config: DictConfig, console: RunConsole, stop: Stop) -> float | None:
    """What a solver says of the value at the point, where one is asked. Training never sees it."""
    if config.reference.method == "none":
        return None
    console.stage("finding the reference value")
    found = find_reference(config, stop.before_the_first_step).reference
    console.line(f"reference value {found.value:.9g} ± {found.error:.1e}, by {found.method}")
    return found.value


def _evaluate(
    config: DictConfig,
    built: Built,
    evaluator: Evaluator,
    reference: float | None,
    state: TrainerState,
    summary: Summary,
    stop: Stop,
) -> None:
    """The final figures, into the summary."""
    points, keys = config.evaluation, built.keys

    def between() -> None:
        stop.if_asked(state)

    errors = evaluator.errors(state.ansatz, points.points, key=keys.test, between=between)
    if errors:
        summary.errors_against, summary.solution_error = held_against(built.problem.pde)
        summary.rel_l1_error, summary.rel_l2_error, summary.trivial_rel_l2_error = errors
    wanted = value_at_point(state.ansatz, built.problem.pde, reference)
    if wanted:
        summary.value_at_point = wanted.value_at_point
        summary.reference_at_point = wanted.reference_at_point
        summary.rel_error_at_point = wanted.rel_error_at_point
    summary.residual_rms = evaluator.residual_rms(
        state.ansatz, points.monitor_points, key=keys.residual, between=between
    )
