"""Solutions that a PDE's file gives as no text: computed, or read from a file of data."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from stde_cli.problem.pdes import AbstractPDE
from stde_cli.problem.pdes.coordinates import is_positive
from stde_cli.problem.references.spectral import VERSION, Spectral, spectral
from stde_cli.problem.tabulated import Samples, Tabulated
from stde_cli.runs.cache import Cache
from stde_cli.runs.data import read_solution
from stde_cli.system.errors import UsageError

_KEY = "pde.solution"
_FORMS = "write a text, {spectral: {}}, or {file: reference.npz}"
_KINDS = ("spectral", "file")
_NOT_SEEN = ("lift", "reference", "solution", "value_at")
"""Keys of a PDE from text that the solver does not look at."""
_found: dict[str, Spectral] = {}
"""In this process."""


def is_given(settings: Any) -> bool:
    """Whether a PDE's settings give their solution as no text."""
    solution = settings.get("solution")
    return isinstance(solution, Mapping) and "_target_" not in solution


def given_solution(
    settings: Mapping[str, Any], dim: int, make_pde: Callable[[], AbstractPDE]
) -> Tabulated | Samples:
    """What `pde.solution` says, in the precision that JAX is set to.

    Args:
        settings: of the PDE, resolved.
        make_pde: without a solution, in the precision that JAX is set to then.

    Raises:
        UsageError: it says nothing of the kind, the file is none, or the equation is none that can
            be solved so.
    """
    solution = settings["solution"]
    if list(solution) == ["file"]:
        if not isinstance(solution["file"], str):
            raise UsageError(f"{_KEY}.file", solution["file"], "is no path")
        with jax.ensure_compile_time_eval():
            pde = make_pde()
            return read_solution(Path(solution["file"]), pde.layout, pde.domain)
    if list(solution) != ["spectral"]:
        unknown = next((name for name in solution if name not in _KINDS), None)
        raise UsageError(_KEY, unknown or dict(solution), "is no solution", _FORMS)
    asked = solution["spectral"] or {}
    if not isinstance(asked, Mapping) or set(asked) - {"error"}:
        raise UsageError(f"{_KEY}.spectral", asked, "is no mapping of error", "write {error: 1e-8}")
    if not is_positive(error := asked.get("error", 1e-8)):
        raise UsageError(f"{_KEY}.spectral.error", error, "must be above 0")
    seen = {name: value for name, value in settings.items() if name not in _NOT_SEEN}
    key = {"version": VERSION, "pde": seen, "dim": dim, "error": error}
    return _spectral(key, make_pde).field()


def _spectral(key: dict[str, Any], make_pde: Callable[[], AbstractPDE]) -> Spectral:
    """Found before, in this process or an earlier one, or now."""
    text = json.dumps(key, sort_keys=True, default=str)
    if text not in _found:
        cache = Cache("solutions")
        kept = cache.arrays(key)
        if kept is None or set(kept) != set(Spectral._fields):
            # Computed even where everything else is only traced for its shapes.
            with jax.ensure_compile_time_eval(), jax.enable_x64(True):
                found = spectral(make_pde(), error=key["error"])
            cache.put_arrays(key, found._asdict())
        else:
            plain: dict[str, Any] = {n: a if a.ndim else a.item() for n, a in kept.items()}
            found = Spectral(**plain)
        _found[text] = found
    return _found[text]
