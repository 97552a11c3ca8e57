"""The reference value of a configuration: found before, or computed now."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from omegaconf import DictConfig, OmegaConf

from stde_cli.config.build import build_pde, configured_jax, refusing
from stde_cli.config.composition import compose, override
from stde_cli.config.validate import validate
from stde_cli.problem import references
from stde_cli.problem.references import Reference
from stde_cli.runs.cache import Cache

_NOT_SEEN = ("lift", "reference")
"""Keys of a PDE from text that no solver looks at. A solution may be what the source is made of."""


class Found(NamedTuple):
    reference: Reference
    cached: bool
    """Whether it was found before, in the time that it says."""


def find_reference(config: DictConfig, between: Callable[[], None] = lambda: None) -> Found:
    """u at `pde.value_at` by `reference.method`, in float64, whatever the precision of a run.

    Args:
        config: checked by `validate`; its `reference.method` is not none.
        between: called now and then; what it raises ends the computation.

    Raises:
        UsageError: the PDE has no such value, or the method does not fit it.
    """
    wanted, cache, key = config.reference, Cache("references"), _key(config)
    if key is not None and (kept := _usable(cache.get(key), wanted)):
        return Found(kept, cached=True)
    with jax.enable_x64(True):
        pde = build_pde(config)
        with refusing(config):
            found = references.solve(
                pde,
                wanted.method,
                error=wanted.error,
                seconds=wanted.seconds,
                level=wanted.level,
                between=between,
            )
    if key is not None:
        cache.put(key, {**found._asdict(), "asked_error": wanted.error, "asked": wanted.seconds})
    return Found(found, cached=False)


def reference(*overrides: str, config_dir: str | Path | None = None, **settings: Any) -> Reference:
    """The value that a PDE asks for at a point: what `stde reference` prints.

    Args:
        overrides: as on the command line: "pde=semilinear_heat", "reference.error=1e-6".
        config_dir: a directory with YAML files of your own, as for --config-dir.
        settings: overrides too, of keys that are names: dim=500.

    Raises:
        UsageError: an override cannot work, the PDE has no such value, or the method does not fit.

    Example:
        >>> import stde_cli as stde
        >>> value, error, method, seconds = stde.reference("pde=hjb_lqg", dim=100)
        >>> round(value, 6), method
        (4.590162, 'radial')
    """
    texts = [*overrides, *(override(key, value) for key, value in settings.items())]
    config = compose("reference", texts, config_dir=config_dir)
    validate(config)
    with configured_jax(config):
        return find_reference(config).reference


def _key(config: DictConfig) -> dict[str, Any] | None:
    """What the value depends on; None where code of others says what it is."""
    pde: Any = OmegaConf.to_container(config.pde, resolve=True)
    if not str(pde["_target_"]).startswith("stde_cli."):
        return None
    text = pde["_target_"] == "stde_cli.Symbolic"
    return {
        "version": references.VERSION,
        "pde": {key: value for key, value in pde.items() if not text or key not in _NOT_SEEN},
        "dim": config.dim,
        "seed": None if text else config.seed,
        "method": config.reference.method,
        "level": config.reference.level,
    }


def _usable(kept: dict[str, Any] | None, wanted: DictConfig) -> Reference | None:
    """What was found, if it is what it says and no less than is wanted now."""
    try:
        assert kept is not None
        found = Reference(**{name: kept[name] for name in Reference._fields})
        asked_error, asked_seconds = kept["asked_error"], float(kept["asked"])
        numbers = (found.value, found.error, found.seconds)
        assert all(isinstance(each, float) and math.isfinite(each) for each in numbers)
        assert isinstance(found.method, str)
    except (AssertionError, KeyError, TypeError, ValueError):
        return None
    if asked_error == wanted.error and asked_seconds >= wanted.seconds:
        return found
    limit = None if wanted.error is None else wanted.error * max(1.0, abs(found.value))
    return found if limit is not None and found.error <= limit else None
