"""A run read back: its trained ansatz, ready to be evaluated."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from omegaconf import DictConfig

from stde_cli.ansatz.hard_constraint import HardConstraint
from stde_cli.autodiff.taylor.planner import HIGHEST_ORDER
from stde_cli.config import saved
from stde_cli.config.build import Built, abstract_state, build, configured_jax, keys_of
from stde_cli.estimators import Exact, mean_and_standard_error
from stde_cli.expressions import Layout, parse
from stde_cli.expressions import Partial as PartialNode
from stde_cli.objective.at_point import value_at_point
from stde_cli.objective.metrics import Evaluator, held_against
from stde_cli.problem.operators import AbstractOperator, Laplacian, Partial
from stde_cli.runs.directory import RunDirectory
from stde_cli.system.errors import UsageError
from stde_cli.training.checkpoint import read_newest

_BATCH_NUMBERS = 10_000_000
_LARGEST_BATCH = 1_000
_DRAWS = 64


class Trained(NamedTuple):
    """A run's configuration and its ansatz at the newest checkpoint."""

    config: DictConfig
    built: Built
    ansatz: HardConstraint
    step: int
    reference: float | None = None
    """At the wanted point, as the run found it or its PDE says."""


def load(run: RunDirectory, *, trust: bool = False) -> Trained:
    """Read the newest whole checkpoint of `run`, which may be at work.

    Raises:
        UsageError: there is none, or none can be read; its configuration names code of others, and
            `trust` does not say that it may run.
    """
    config = saved.load(run, trust=trust)
    with configured_jax(config):
        state = read_newest(run.checkpoints, abstract_state(config))
        built = build(config)
    reference = run.read_summary().reference_at_point
    return Trained(config, built, state.ansatz, int(state.step), reference)


def parse_derivatives(names: Sequence[str], layout: Layout) -> dict[str, AbstractOperator]:
    """Operators by name: "laplacian", or a partial such as "u_x3", "u_tx" or "partial(u, t, x)".

    Numbered coordinates are counted from 1, as in the formulas.

    Raises:
        UsageError: a name is neither, or a coordinate is not there.
    """
    operators: dict[str, AbstractOperator] = {}
    for name in names:
        if name == "laplacian":
            space = layout.space
            contiguous = list(space) == list(range(space[0], space[-1] + 1)) if space else False
            if not contiguous:
                why = "the coordinates that it is taken in are not side by side"
                raise UsageError("derivatives", name, why, "name its terms, such as u_xx")
            operators[name] = Laplacian((space[0], space[-1] + 1))
            continue
        if name.startswith("partial("):
            node = parse(name, layout, {}, where="derivatives", allow=frozenset("u"))
            readings = (node.coordinates,) if isinstance(node, PartialNode) else ()
        else:
            readings = layout.readings(name.removeprefix("u_")) if name.startswith("u_") else ()
        if len(readings) > 1:
            why, mend = layout.ambiguity(readings), "write the one that is meant"
            raise UsageError("derivatives", name, why, mend)
        if not readings:
            last = layout.label(layout.dim - 1)
            mend = f"write laplacian, or partials in {layout.label(0)} to {last} such as u_{last}"
            raise UsageError("derivatives", name, "unknown derivative", mend)
        if (order := len(readings[0])) > HIGHEST_ORDER:
            why, mend = f"is of order {order}", f"derivatives are computed up to {HIGHEST_ORDER}"
            raise UsageError("derivatives", name, why, mend)
        operators[name] = Partial(readings[0])
    return operators


class Predictor:
    """u and derivatives of a run at `count` points, a batch at a time, compiled once.

    Attributes:
        columns: the names of the values, in order.
        batch: how many points `__call__` takes at most.
    """

    def __init__(self, trained: Trained, operators: Mapping[str, AbstractOperator], count: int):
        domain = trained.built.problem.pde.domain
        self.columns = ("u", *operators)
        self.batch = max(1, min(_LARGEST_BATCH, _BATCH_NUMBERS // domain.dim, count))
        exact = Exact()

        def at(ansatz: HardConstraint, x: jax.Array) -> tuple[jax.Array, jax.Array]:
            u, derivatives = exact(ansatz, operators, x, None)
            values = jnp.stack([u, *(derivatives[name] for name in operators)])
            return values, domain.contains(x)

        self._trained = trained
        self._evaluate = eqx.filter_jit(jax.vmap(at, in_axes=(None, 0)))
        self._count, self._outside, self._first_outside = 0, 0, 0

    def __call__(
        self, points: Float[np.ndarray, "points dim"]
    ) -> Float[np.ndarray, "points columns"]:
        # The last batch is filled up with copies of its last point: one shape, one compilation.
        padding = ((0, self.batch - len(points)), (0, 0))
        padded = np.pad(np.asarray(points), padding, mode="edge")
        with configured_jax(self._trained.config):
            with np.errstate(over="ignore"):
                padded = np.asarray(padded, jnp.result_type(float))
            if not (within_range := np.isfinite(padded).all(axis=1)).all():
                row = self._count + int(np.argmin(within_range)) + 1
                why = f"row {row} is too large for the precision of the run"
                raise UsageError("points", None, why)
            values, within = self._evaluate(self._trained.ansatz, jnp.asarray(padded))
        outside = np.flatnonzero(~np.asarray(within)[: len(points)])
        if outside.size and not self._outside:
            self._first_outside = self._count + int(outside[0]) + 1
        self._outside += outside.size
        self._count += len(points)
        return np.asarray(values)[: len(points)]

    @property
    def warning(self) -> str | None:
        """What is to be said of the points so far: that some lie where nothing was trained."""
        if not self._outside:
            return None
        return (
            f"{self._outside:,} of {self._count:,} points lie outside the domain, where nothing "
            f"was trained; the first is row {self._first_outside}"
        )


def evaluate(trained: Trained, *, points: int, seed: int) -> dict[str, float | int | str]:
    """Errors, and the residual, on points that training and its own tests never saw."""
    problem = trained.built.problem
    with configured_jax(trained.config):
        evaluator = Evaluator(problem.residual, problem.points)
        fresh = keys_of(seed, trained.config.runtime.generator).fresh
        points_key, residual_key, point_key, draws_key = jax.random.split(fresh, 4)
        figures: dict[str, float | int | str] = {"step": trained.step, "points": points}
        errors = evaluator.errors(trained.ansatz, points, key=points_key)
        if errors:
            figures |= errors._asdict()
            against = held_against(problem.pde)
            said = {"errors_against": against.name, "solution_error": against.error}
            figures |= {k: v for k, v in said.items() if v is not None}
        wanted = value_at_point(trained.ansatz, problem.pde, trained.reference)
        if wanted:
            figures |= {k: v for k, v in wanted._asdict().items() if v is not None}
        residual_rms = evaluator.residual_rms(trained.ansatz, points, key=residual_key)
        figures["residual_rms"] = residual_rms
        x = problem.pde.domain.sample_interior(1, key=point_key)[0]
        for name, operator in problem.pde.operators.items():
            if operator.in_one_pass:
                figures[f"{name}_at_a_point"] = float(operator.exact(trained.ansatz, x))
                figures[f"{name}_standard_error_of_one_draw"] = 0.0
                continue
            mean, error = mean_and_standard_error(
                problem.residual.estimator, trained.ansatz, operator, x, draws=_DRAWS, key=draws_key
            )
            figures[f"{name}_at_a_point"] = float(mean)
            figures[f"{name}_standard_error_of_one_draw"] = float(error) * _DRAWS**0.5
    return figures
