"""The candidates of a race: each is prepared and trained for a short while, and the best goes on.

    compile → find where to start → judge → a few steps → judge again

The judge is the residual at points held out. The winner's run begins at its own start, as if its
configuration had been typed: it takes no step that another run of it would not.
"""

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.errors import JaxRuntimeError
from omegaconf import DictConfig

from stde_cli.config.build import configured_jax
from stde_cli.config.validate import validate
from stde_cli.config.variants import Candidate
from stde_cli.jobs.preparation import Plan, Prepared, planned, prepared
from stde_cli.objective.held_out import Sizes, left_over
from stde_cli.objective.metrics import Evaluator
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.tracking.console import RunConsole
from stde_cli.system.errors import Interrupted, UsageError
from stde_cli.system.interrupts import Interrupts
from stde_cli.training import TrainerState, advance
from stde_cli.training.start import FromTrivialSolution, is_exact_in_one_pass

_NOTHING = 1e-7
"""Of the residual: of what is left then, a network trained by Adam learns no part."""


class Won(NamedTuple):
    name: str
    ready: Prepared
    left: dict[str, float | None]
    """Of the residual, by candidate, in units of the source; None: it was refused, or diverged."""
    solved: bool
    """Whether its start leaves nothing to learn."""


class _Heat(NamedTuple):
    """How a candidate did.

    Attributes:
        left: of the residual, when it was judged last.
        solved: as in `Won`: what it learned is none of its start's.
    """

    ready: Prepared
    left: float
    solved: bool


def race(
    config: DictConfig,
    candidates: Sequence[Candidate],
    run: RunDirectory,
    interrupts: Interrupts,
    job: str | None,
) -> Won:
    """The best of the candidates.

    Args:
        config: as it was typed; its `race` says how.
        job: the run's name where others share its screen.

    Raises:
        UsageError: none of them can work, or what is wrong is the PDE's.
        Interrupted: a signal came.
    """
    title = f"{config.choices.get('pde')} · {config.dim:,} dimensions · {run.path}"
    with RunConsole(run, title, job) as console:
        heats = _Heats(config, run, interrupts, console)
        for candidate in candidates:
            heats.try_out(candidate)
            if heats.decided:
                break
        return heats.won()


class _Heats:
    """
    Attributes:
        decided: whether a candidate leaves so little that no other need be tried.
    """

    def __init__(
        self, config: DictConfig, run: RunDirectory, interrupts: Interrupts, console: RunConsole
    ):
        self.decided = False
        self._race, self._run = config.race, run
        self._interrupts, self._console = interrupts, console
        self._sizes: Sizes | None = None
        self._best: tuple[str, _Heat] | None = None
        self._left: dict[str, float | None] = {}
        self._refusal: UsageError | None = None

    def try_out(self, candidate: Candidate) -> None:
        started = time.perf_counter()
        try:
            with configured_jax(candidate.config):
                validate(candidate.config)
                heat = self._tried(candidate)
        except UsageError as error:
            # What is wrong with the equation is wrong for each of them.
            if error.where.startswith("pde"):
                raise
            self._pass_over(candidate, error)
            return
        except JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            self._pass_over(candidate, UsageError("dim", candidate.config.dim, "out of memory"))
            return
        left = heat.left
        self._left[candidate.name] = left if math.isfinite(left) else None
        if self._best is None or left < self._best[1].left:
            self._best = candidate.name, heat
        self.decided = left <= self._race.enough
        seconds = time.perf_counter() - started
        self._console.line(
            f"{candidate.name} leaves {left:.1e} of the residual, found in {seconds:.0f} s"
        )

    def won(self) -> Won:
        if self._best is None:
            assert self._refusal is not None
            raise self._refusal
        name, heat = self._best
        won = Won(name, heat.ready, self._left, heat.solved)
        nothing = ": no network could learn what is left" if won.solved else ""
        self._console.line(f"going on with {name}{nothing}")
        return won

    def _pass_over(self, candidate: Candidate, why: UsageError) -> None:
        self._console.line(f"{candidate.name} is passed over: {why}")
        self._left[candidate.name], self._refusal = None, why

    def _tried(self, candidate: Candidate) -> _Heat:
        """What it leaves at its start, or after its steps where that is not enough."""

        def stage(text: str) -> None:
            self._console.stage(f"{candidate.name}: {text}")

        plan = planned(candidate.config, self._run)
        if not candidate.sampled and not is_exact_in_one_pass(plan.built.problem.pde):
            where = f"race.candidates.{candidate.name}.sampled"
            why = "operators of this equation would be sampled, which takes minutes"
            raise UsageError(where, False, why, "set it to true to try all the same")
        ready = prepared(plan, stage=stage, between=self._between)
        stage("judging")
        left = self._judged(plan, ready.state)
        solved = left <= _NOTHING
        if left > self._race.enough:
            stage(f"{candidate.steps} steps")
            left = self._judged(plan, self._trained(ready, candidate.steps))
        return _Heat(ready, left if math.isfinite(left) else math.inf, solved)

    def _trained(self, ready: Prepared, steps: int) -> TrainerState:
        """After so many steps, from a copy: the loop gives the buffers of its state up."""
        state = jax.tree.map(
            lambda leaf: jnp.copy(leaf) if eqx.is_array(leaf) else leaf, ready.state
        )
        for chunk in advance(ready.executable, state, stop=steps, next_event=lambda step: steps):
            self._between()
            state = chunk.state
        return state

    def _judged(self, plan: Plan, state: TrainerState) -> float:
        problem, key = plan.built.problem, plan.built.keys.held_out
        evaluator = Evaluator(problem.residual, problem.points)
        if self._sizes is None:
            self._sizes = _sizes(plan)
        return left_over(
            state.ansatz,
            evaluator,
            self._sizes,
            self._race.points,
            key=key,
            between=self._between,
        )

    def _between(self) -> None:
        if signal := self._interrupts.received:
            raise Interrupted(f"stopped by {signal.name} before the first step", signal)


def _sizes(plan: Plan) -> Sizes:
    """Of the residual and the conditions without a network: the units of the trivial solution."""
    problem, key = plan.built.problem, plan.built.keys.start
    start = FromTrivialSolution()
    units = eqx.filter_jit(lambda: start(problem.residual, problem.points, key=key).units)()
    return Sizes(float(units.loss), float(units.conditions))
