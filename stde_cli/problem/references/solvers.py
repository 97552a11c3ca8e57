"""The value that a PDE asks for, by the solver that fits it or the one that is named."""

import math
import time
from collections.abc import Callable

import jax

from stde_cli.problem.parabolic import read
from stde_cli.problem.pdes import AbstractPDE
from stde_cli.problem.references.base import Reference
from stde_cli.problem.references.feynman_kac import feynman_kac
from stde_cli.problem.references.linear import linear
from stde_cli.problem.references.picard import picard
from stde_cli.problem.references.radial import radial
from stde_cli.problem.references.structure import Structure
from stde_cli.system.errors import UsageError

METHODS = ("auto", "radial", "feynman_kac", "picard")
VERSION = 2
"""Of the solvers: what an earlier one found is found anew."""

_ERRORS = {"radial": 1e-8, "feynman_kac": 1e-4, "picard": 1e-3}
"""That each is asked for where nothing is said."""


def solve(
    pde: AbstractPDE,
    method: str = "auto",
    *,
    error: float | None = None,
    seconds: float = 60.0,
    level: int | None = None,
    between: Callable[[], None] = lambda: None,
) -> Reference:
    """u at `pde.value_at`, in float64 if JAX is set so.

    Args:
        method: of `METHODS`; auto takes radial where the problem is, Feynman and Kac where it is
            linear or can be made so, and Picard iterations else.
        error: that is wanted, relative to a value above 1; None: what the method is good for.
        seconds: the most that is spent on draws.
        level: of Picard iterations; None: chosen by `error` and `seconds`.
        between: called now and then; what it raises ends the computation.

    Raises:
        UsageError: the PDE has no such value, the method does not fit it, or what it finds is not
            finite.
    """
    started = time.perf_counter()
    structure = Structure(read(pde))
    made_linear = linear(structure) if method in ("auto", "feynman_kac") else None
    if method == "auto":
        method = _fitting(structure, made_linear is not None)
    if level is not None and method != "picard":
        why = f"is of Picard iterations, and {method} makes none"
        raise UsageError("reference.level", level, why, "leave it out, or take reference=picard")
    wanted, key = _ERRORS[method] if error is None else error, jax.random.key(0)
    match method:
        case "radial":
            if not structure.radial:
                why = "data, diffusion or equation depend on more than the distance from the origin"
                raise UsageError("reference.method", method, why, "take reference.method=auto")
            value, reached = radial(structure, error=wanted, between=between)
        case "feynman_kac":
            if made_linear is None:
                why = "the equation is not linear, nor made so by the logarithm of Cole and Hopf"
                raise UsageError("reference.method", method, why, "take reference.method=auto")
            problem, transform = made_linear
            found = feynman_kac(
                structure, problem, error=wanted, seconds=seconds, between=between, key=key
            )
            value, reached = transform.back(*found)
        case _:
            value, reached = picard(
                structure, level=level, error=wanted, seconds=seconds, between=between, key=key
            )
    if not (math.isfinite(value) and math.isfinite(reached)):
        why = f"what {method} finds there is not finite"
        mend = "look at where the values given and the residual are defined"
        raise UsageError("pde.value_at", None, why, mend)
    return Reference(float(value), float(reached), method, time.perf_counter() - started)


def _fitting(structure: Structure, is_linear: bool) -> str:
    if structure.radial:
        return "radial"
    return "feynman_kac" if is_linear else "picard"
