"""Errors against the exact solution, and residuals, streamed over test points.

Test points are drawn anew from a key, a batch at a time: 20 000 points at a million dimensions
would fill 80 GB. A point leaves only its values, and those are summed in float64: the trivial
error is a difference of nearly equal numbers when dim is large.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Num

from stde_cli.ansatz.hard_constraint import HardConstraint
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.pdes import AbstractPDE
from stde_cli.problem.tabulated import Samples, Tabulated
from stde_cli.system.types import Points, PRNGKey

_BATCH_NUMBERS = 10_000_000
_LARGEST_BATCH = 2_000


class Errors(NamedTuple):
    """Relative errors over test points: sum |u - v| / sum |v| and sqrt(sum (u - v)^2 / sum v^2)."""

    rel_l1_error: float
    rel_l2_error: float
    trivial_rel_l2_error: float
    """The least relative L2 error of any constant times the constraint, beside the lift: what a run
    must beat."""


class HeldAgainst(NamedTuple):
    """What errors are measured against.

    Attributes:
        name: in words; None: the exact solution.
        error: of it, relative, root mean square; None where it is exact, or not known.
    """

    name: str | None = None
    error: float | None = None


def held_against(pde: AbstractPDE) -> HeldAgainst:
    if pde.samples is not None:
        return HeldAgainst(pde.samples.source)
    if isinstance(pde.solution, Tabulated):
        return HeldAgainst(pde.solution.source, pde.solution.error)
    return HeldAgainst()


class Evaluator:
    """Evaluates an ansatz on `points` test points that a key fixes.

    The functions are compiled once and serve every evaluation of a run.
    """

    def __init__(self, residual: SampledResidual, training_points: int):
        self.residual = residual
        # A batch of the size that training takes fits too; smaller ones would read the first
        # layer's weights more often than they are worth.
        fitting = min(_LARGEST_BATCH, _BATCH_NUMBERS // residual.pde.domain.dim)
        self.batch = max(training_points, fitting)

    def errors(
        self,
        ansatz: HardConstraint,
        points: int,
        *,
        key: PRNGKey,
        between: Callable[[], None] = lambda: None,
    ) -> Errors | None:
        """Errors against the solution; None where the PDE has none.

        Where it is known at points alone, they are those at all of these. `between` is called
        between batches and may raise, to stop early.
        """
        pde = self.residual.pde
        if pde.samples is not None:
            return relative_errors(*self._at_samples(ansatz, pde, pde.samples, between))
        if pde.solution is None:
            return None
        values = self._stream(_values, points, key, ansatz, pde, between=between)
        return relative_errors(*values)

    def residual_rms(
        self,
        ansatz: HardConstraint,
        points: int,
        *,
        key: PRNGKey,
        between: Callable[[], None] = lambda: None,
    ) -> float:
        """The root mean square residual, without the estimator's variance in it.

        The square at a point is the product of two independent estimates; a mean that comes out
        negative, which only noise can do, counts as zero.
        """
        (squares,) = self._stream(
            _residual_squares, points, key, ansatz, self.residual, between=between
        )
        return float(np.sqrt(max(0.0, squares.mean())))

    def _at_samples(
        self, ansatz: HardConstraint, pde: AbstractPDE, samples: Samples, between: Callable
    ) -> Float[np.ndarray, "4 points"]:
        count, collected = len(samples.points), []
        for start in range(0, count, self.batch):
            between()
            # The last one is filled up: one shape, one compilation.
            rows = np.minimum(np.arange(start, start + self.batch), count - 1)
            out = _around(ansatz, pde, samples.points[rows])
            collected.append(np.asarray(out, np.float64))
        u, constraint, lift = np.concatenate(collected, axis=-1)[:, :count]
        return np.stack([u, np.asarray(samples.values, np.float64), constraint, lift])

    def _stream(self, function, points, key, *arguments, between) -> Float[np.ndarray, "k points"]:
        collected = []
        for index in range(-(-points // self.batch)):
            between()
            out = function(*arguments, self.batch, jax.random.fold_in(key, index))
            collected.append(np.asarray(out, np.float64))
        return np.concatenate(collected, axis=-1)[:, :points]


def relative_errors(
    u: Num[np.ndarray, " points"],
    exact: Num[np.ndarray, " points"],
    constraint: Num[np.ndarray, " points"],
    lift: Num[np.ndarray, " points"] | float = 0.0,
) -> Errors:
    """Errors of `u` against `exact`, and of `lift` + the best multiple of `constraint`."""
    inner = exact - lift
    multiple = (constraint @ inner) / (constraint @ constraint)
    norm = np.linalg.norm(exact)
    return Errors(
        float(np.abs(u - exact).sum() / np.abs(exact).sum()),
        float(np.linalg.norm(u - exact) / norm),
        float(np.linalg.norm(multiple * constraint - inner) / norm),
    )


@eqx.filter_jit
def _values(
    ansatz: HardConstraint, pde: AbstractPDE, batch: int, key: PRNGKey
) -> Float[jax.Array, "4 points"]:
    x = pde.domain.sample_interior(batch, key=key)
    assert pde.solution is not None
    fields = (ansatz, pde.solution, pde.constraint, pde.lift or _nothing)
    return jnp.stack([jax.vmap(field)(x) for field in fields])


@eqx.filter_jit
def _around(ansatz: HardConstraint, pde: AbstractPDE, x: Points) -> Float[jax.Array, "3 points"]:
    """u, the constraint and the lift."""
    fields = (ansatz, pde.constraint, pde.lift or _nothing)
    return jnp.stack([jax.vmap(field)(x) for field in fields])


def _nothing(x: jax.Array) -> jax.Array:
    return jnp.zeros((), x.dtype)


@eqx.filter_jit
def _residual_squares(
    ansatz: HardConstraint, residual: SampledResidual, batch: int, key: PRNGKey
) -> Float[jax.Array, "1 points"]:
    points_key, *draw_keys = jax.random.split(key, 3)
    x = residual.pde.domain.sample_interior(batch, key=points_key)
    first, second = (residual.at(ansatz, x, residual.draw(key=k)) for k in draw_keys)
    return (first * second)[None]
