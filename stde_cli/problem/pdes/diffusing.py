"""Coordinates whose points come from a diffusion, as a YAML file gives them."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from stde_cli.expressions import Layout
from stde_cli.problem.domains import (
    AbstractDomain,
    AbstractProcess,
    Box,
    Brownian,
    Diffusion,
    GeometricBrownian,
    OrnsteinUhlenbeck,
)
from stde_cli.problem.pdes.coordinates import check_within, is_number, is_positive
from stde_cli.problem.pdes.evolution import Time
from stde_cli.problem.pdes.in_time import entries, numbers
from stde_cli.system.errors import UsageError
from stde_cli.system.types import Point

_COMMON = ("from", "since", "scatter", "denser", "steps")
_KEYS = {
    "diffusion": _COMMON,
    "geometric": (*_COMMON, "drift"),
    "ornstein_uhlenbeck": (*_COMMON, "rate"),
}
"""What goes with each kind of diffusion."""


def diffusing(
    coordinates: Mapping[str, Any],
    layout: Layout,
    parts: Mapping[str, AbstractDomain],
    parameters: Mapping[str, Any],
    told: Mapping[str, Any] | None,
    value_at: Point | None,
    time: Time | None,
) -> Diffusion | None:
    """The domain, where the family is one that diffuses; None where it does not.

    Args:
        told, value_at: the point where the value is wanted, as it is written and as it was read.

    Raises:
        UsageError: at the key that is at fault.
    """
    family = layout.family
    spec = coordinates[family] if family else {}
    kind = next((kind for kind in _KEYS if kind in spec), None)
    if family is None or kind is None:
        return None
    where = f"pde.coordinates.{family}"
    for name in spec:
        if name not in (kind, "count", *_KEYS[kind]):
            known = ", ".join(_KEYS[kind])
            raise UsageError(f"{where}.{name}", None, "no such key", f"beside {kind} give {known}")
    if list(parts) not in (["t", family], [family, "t"]) or not isinstance(parts["t"], Box):
        why = "points diffuse in time: they have t and the family, and no more"
        raise UsageError(where, dict(spec), why, "name one coordinate t: [0, 1]")
    span = layout.family_range
    if value_at is None and (time is None or "from" not in spec):
        why = "no point is given that the points start from"
        raise UsageError(where, dict(spec), why, "give pde.value_at")
    box, position = parts["t"], layout.names["t"]
    assert isinstance(box, Box)
    (lower,), (upper,) = box.lower, box.upper
    since, start = upper if time is not None and time.forward else lower, spec.get("from", 0)
    if "since" in spec:
        since = spec["since"]
        if not is_number(since):
            raise UsageError(f"{where}.since", since, "is no number")
        check_within(f"{where}.since", since, box)
    elif told is not None and value_at is not None:
        since = float(told["t"])
    if "from" in spec or value_at is None:
        start = entries(f"{where}.from", start, len(span), parameters)
    else:
        start = value_at[span.start : span.stop]
    steps, power, scatter = spec.get("steps"), spec.get("denser", 1), spec.get("scatter", 0)
    if not is_positive(power):
        raise UsageError(f"{where}.denser", power, "must be above 0")
    if not is_number(scatter) or scatter < 0:
        raise UsageError(f"{where}.scatter", scatter, "must be 0 or more")
    if steps is not None and (type(steps) is not int or steps < 1):
        raise UsageError(f"{where}.steps", steps, "must be a whole number of 1 or more")
    return Diffusion(
        _process(kind, where, spec, len(span), parameters),
        start,
        wanted=since,
        lower=lower,
        upper=upper,
        time=position,
        power=float(power),
        scatter=float(scatter),
        steps=steps,
    )


def _process(
    kind: str, where: str, spec: Mapping[str, Any], count: int, parameters: Mapping[str, Any]
) -> AbstractProcess:
    told = spec[kind]
    if not isinstance(told, str | Sequence) and not is_positive(told):
        raise UsageError(f"{where}.{kind}", told, "must be above 0")
    volatility = numbers(f"{where}.{kind}", told, count, parameters, axes=2)
    if kind == "diffusion":
        return Brownian(volatility)
    if kind == "ornstein_uhlenbeck":
        rate = spec.get("rate", 1)
        if not is_positive(rate):
            raise UsageError(f"{where}.rate", rate, "must be above 0")
        return OrnsteinUhlenbeck(volatility, jnp.asarray(rate, float))
    drift = numbers(f"{where}.drift", spec.get("drift", 0), count, parameters)
    return GeometricBrownian(volatility, drift)
