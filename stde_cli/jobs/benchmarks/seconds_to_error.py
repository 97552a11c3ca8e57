"""How long training takes until the error on fresh points is below a bound.

Counted are the start (the units of the problem, the first parameters) and the steps. Compiling is a
figure of its own; the errors that are measured in passing count nowhere.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from omegaconf import DictConfig

from stde_cli.config.build import build
from stde_cli.jobs.benchmarks.cells import no_solution
from stde_cli.jobs.benchmarks.child import Measurement
from stde_cli.jobs.benchmarks.training import (
    fitting_executable,
    fitting_initialisation,
    fitting_shapes,
    take_steps,
    timed,
)
from stde_cli.objective.metrics import Evaluator
from stde_cli.system.resources import device_name, peak_memory_mb

COLUMNS = {
    "steps": "steps",
    "seconds": "seconds",
    "ratio": "ratio",
    "error": "rel_l2_error",
    "compile s": "compile_seconds",
    "steps/s": "steps_per_second",
}


class Figures(NamedTuple):
    """The figures of one cell. None where there are none; `note` then says why."""

    until: float | None = None
    steps: int | None = None
    """Steps taken."""
    steps_planned: int | None = None
    """The whole run's, over which the schedule decays."""
    seconds: float | None = None
    """Start and steps together; None where the error was not reached."""
    start_seconds: float | None = None
    train_seconds: float | None = None
    rel_l2_error: float | None = None
    """After the last step taken."""
    best_rel_l2_error: float | None = None
    steps_per_second: float | None = None
    compile_seconds: float | None = None
    peak_memory_mb: float | None = None
    device: str | None = None
    note: str | None = None


def speed_of(row: Mapping[str, Any]) -> float | None:
    """What ratios are of: how often a second the error would be reached."""
    return 1 / row["seconds"] if row.get("seconds") else None


def turns(config: DictConfig) -> int:
    """How often a measurement takes its turn, where the error is not reached before."""
    return 1 + math.ceil(config.steps / _interval(config))


def measure(config: DictConfig) -> Measurement:
    """Train as `stde solve` does until the error is below `bench.until`; gives `Figures`.

    A turn ends with each error that is measured.

    Raises:
        UsageError: the PDE has no known solution.
    """
    abstract = fitting_shapes(config)
    built, building = timed(lambda: build(config))
    problem, until = built.problem, config.bench.until
    if problem.pde.solution is None and problem.pde.samples is None:
        raise no_solution(config)
    executable = fitting_executable(config, problem, abstract)
    initialisation = fitting_initialisation(config, built)
    state, drawing = timed(initialisation)
    evaluator = Evaluator(problem.residual, problem.points)
    planned = config.steps
    every = _interval(config)
    step, train_seconds, best = 0, 0.0, math.inf
    while True:
        errors = evaluator.errors(
            state.ansatz, config.evaluation.monitor_points, key=built.keys.test
        )
        assert errors is not None
        error = errors.rel_l2_error
        best = min(best, error) if math.isfinite(error) else best
        if error < until or step == planned or not math.isfinite(error):
            break
        yield f"step {step:,} of {planned:,}, error {error:.2e}"
        count = min(every, planned - step)
        state, seconds = take_steps(executable, state, count, config.train.steps_per_call)
        step, train_seconds = step + count, train_seconds + seconds
    start_seconds = building.seconds + drawing.seconds
    reached, seconds = error < until, start_seconds + train_seconds
    return Figures(
        until=until,
        steps=step,
        steps_planned=planned,
        seconds=seconds if reached else None,
        start_seconds=start_seconds,
        train_seconds=train_seconds,
        rel_l2_error=error if math.isfinite(error) else None,
        best_rel_l2_error=best if math.isfinite(best) else None,
        steps_per_second=step / train_seconds if step else None,
        compile_seconds=(
            building.compile_seconds + executable.compile_seconds + initialisation.compile_seconds
        ),
        peak_memory_mb=peak_memory_mb(),
        device=device_name(),
        note=None if reached else _shortfall(until, step, seconds, error, best),
    )


def _interval(config: DictConfig) -> int:
    """Steps between errors."""
    return config.evaluation.every or max(1, config.steps // 100)


def _shortfall(until: float, step: int, seconds: float, error: float, best: float) -> str:
    why = "" if math.isfinite(error) else ", where the error is not finite"
    spent = f"{step:,} steps and {seconds:.4g} seconds"
    return f"not below {until:g} in {spent}{why}; the best error seen is {best:.2e}"
