"""Nonlinear least squares in a few thousand unknowns, by orthogonal decompositions."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, Int

from stde_cli.system.types import Scalar

_DAMPINGS = (1e-14, 1e-8, 1e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Of the largest pivot. The first is none, but for unknowns that the rows do not tell apart."""
_UP, _DOWN = 2, -1
"""Rungs that the damping goes after a step that was bad, and after one that was good."""
_BAD, _GOOD = 0.25, 0.75
"""What has been gained by a step, in units of what the linear model promised."""
_AS_PROMISED = 1.05
_SLOW, _PATIENCE = 0.99, 10
"""So many rounds in turn that each leave more of the residuals' norm are the last."""
_ROUNDING = 1e-12
"""Of the residuals' norm at the beginning: below it there is nothing to gain."""

Unknowns: TypeAlias = Float[Array, " unknowns"]
Rows: TypeAlias = Float[Array, " rows"]


class Linearised(NamedTuple):
    """Residuals and their derivatives at some unknowns."""

    residuals: Rows
    slopes: Float[Array, "rows unknowns"]
    held_out: Float[Array, " others"]
    """Residuals that are not fitted, but tell how good the fit is."""


class _Model(NamedTuple):
    """The triangle of [slopes / lengths, residuals]: all that a step depends on."""

    at: Unknowns
    triangle: Float[Array, "columns columns"]
    scales: Unknowns
    norm: Scalar
    held_out: Scalar


class _Descent(NamedTuple):
    rounds: Int[Array, ""]
    best: _Model
    first_norm: Scalar
    rung: Int[Array, ""]
    """Of `_DAMPINGS`."""
    stalled: Int[Array, ""]
    """Rounds in turn that gained little."""
    converged: Bool[Array, ""]


def levenberg_marquardt(
    linearised: Callable[[Unknowns], Linearised], at: Unknowns, *, rounds: int
) -> tuple[Unknowns, Scalar]:
    """The unknowns at which the residuals' norm is least, from `at` on; the norm of others there.

    A round solves min |J d + r|^2 + lambda |D d|^2, D the lengths of the columns of J, and keeps
    the step where it helps; lambda follows the ratio of what was gained to what was promised
    (Levenberg 1944, Marquardt 1963; Nocedal and Wright, "Numerical Optimization", 2006, chapter
    10). By QR: the normal equations would lose half the digits (Bjorck, "Numerical Methods for
    Least Squares Problems", 1996, section 2.7).

    Args:
        linearised: residuals and slopes at some unknowns; called once a round, and once before.
        rounds: at most; linear residuals take one.
    """

    def model(at: Unknowns) -> _Model:
        r, slopes, others = linearised(at)
        lengths = jnp.linalg.norm(slopes, axis=0)
        scales = jnp.where(lengths > 0, 1 / lengths, 0.0)
        triangle = _triangle(jnp.concatenate([slopes * scales, r[:, None]], axis=1))
        return _Model(at, triangle, scales, jnp.linalg.norm(r), jnp.linalg.norm(others))

    dampings = jnp.array(_DAMPINGS, at.dtype)

    def unfinished(descent: _Descent) -> Bool[Array, ""]:
        return ~descent.converged & (descent.rounds <= rounds)

    def improve(descent: _Descent) -> _Descent:
        # In the first round there is no model yet, and the step is none.
        best, first = descent.best, descent.rounds == 0
        step, promised = _step(best.triangle, dampings[descent.rung])
        new = model(best.at - jnp.where(first, 0.0, best.scales * step))
        gained = (best.norm**2 - new.norm**2) / (best.norm**2 - promised**2)
        better = first | (new.norm < best.norm)
        change = jnp.where(gained > _GOOD, _DOWN, jnp.where(gained > _BAD, 0, _UP))
        undamped, last = descent.rung == 0, descent.rung == len(_DAMPINGS) - 1
        exhausted = undamped & (new.norm < _AS_PROMISED * promised)
        stalled = jnp.where(new.norm < _SLOW * best.norm, 0, descent.stalled + 1)
        first_norm = jnp.where(first, new.norm, descent.first_norm)
        converged = (
            exhausted
            | (last & ~better)
            | (stalled >= _PATIENCE)
            | (new.norm < _ROUNDING * first_norm)
        )
        return _Descent(
            descent.rounds + 1,
            jax.tree.map(lambda new, old: jnp.where(better, new, old), new, best),
            first_norm,
            jnp.where(first, 0, jnp.clip(descent.rung + change, 0, len(_DAMPINGS) - 1)),
            jnp.where(first, 0, stalled),
            ~first & converged,
        )

    zero = jnp.zeros((), jnp.int32)
    nothing = jax.tree.map(
        lambda leaf: jnp.ones(leaf.shape, leaf.dtype), jax.eval_shape(model, at)
    )._replace(at=at)
    found = lax.while_loop(
        unfinished,
        improve,
        _Descent(
            zero,
            nothing,
            nothing.norm,
            zero,
            zero,
            jnp.zeros((), bool),
        ),
    ).best
    return found.at, jnp.where(jnp.isfinite(found.norm), found.held_out, jnp.inf)


def _triangle(matrix: Float[Array, "rows columns"]) -> Float[Array, "columns columns"]:
    """R of the matrix, filled up with rows of zeros where it has fewer than columns."""
    rows, columns = matrix.shape
    return jnp.linalg.qr(jnp.pad(matrix, ((0, max(0, columns - rows)), (0, 0))), mode="r")


def _step(triangle: Float[Array, "columns columns"], damping: Scalar) -> tuple[Unknowns, Scalar]:
    """d of least |R d - g|^2 + |l d|^2 for the triangle [[R, g], [0, e]]; |residuals| after it.

    `damping` is l in units of the largest pivot.
    """
    unknowns = len(triangle) - 1
    factor, right = triangle[:-1, :-1], triangle[:-1, -1]
    size = damping * jnp.max(jnp.abs(jnp.diagonal(factor)))
    below = size * jnp.eye(unknowns, unknowns + 1, dtype=triangle.dtype)
    damped = _triangle(jnp.concatenate([triangle[:-1], below]))
    step = solve_triangular(damped[:-1, :-1], damped[:-1, -1])
    return step, jnp.hypot(jnp.linalg.norm(factor @ step - right), triangle[-1, -1])
