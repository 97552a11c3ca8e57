"""A true value at the wanted point, as a YAML file gives it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stde_cli.problem.pdes.coordinates import is_number
from stde_cli.system.errors import UsageError

_KEYS = ("value", "error", "of", "when")


def known_value(
    entries: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None,
    settings: Mapping[str, Any],
    parameters: Mapping[str, Any],
) -> float | None:
    """The value of the first entry that stands for these settings; None where none does.

    An entry has a `value`, may say its `error` and what it is `of`, and holds only `when` names
    have certain values: dim, the coordinates of the wanted point, or parameters.

    Raises:
        UsageError: an entry has no value, or a key that has no meaning.
    """
    listed = [entries] if isinstance(entries, Mapping) else entries or []
    for number, entry in enumerate(listed):
        where = "pde.reference" if isinstance(entries, Mapping) else f"pde.reference[{number}]"
        if not isinstance(entry, Mapping) or not is_number(entry.get("value")):
            raise UsageError(where, entry, "has no value", f"give {', '.join(_KEYS)}")
        for name in entry:
            if name not in _KEYS:
                raise UsageError(f"{where}.{name}", None, "no such key", f"give {', '.join(_KEYS)}")
        when = entry.get("when") or {}
        if not isinstance(when, Mapping):
            raise UsageError(f"{where}.when", when, "must be a mapping", "write {name: number}")
        found = {**parameters, **settings}
        for name in when:
            if name not in found:
                known = ", ".join(found)
                raise UsageError(f"{where}.when", name, "is not known", f"choose from {known}")
        if all(_is(found[name], value) for name, value in when.items()):
            return float(entry["value"])
    return None


def _is(found: Any, value: Any) -> bool:
    return is_number(found) and is_number(value) and bool(np.isclose(found, value, rtol=1e-6))
