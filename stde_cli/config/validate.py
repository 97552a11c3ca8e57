"""What must hold across fields, checked before anything is built. Each fault names its key."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from math import comb
from pkgutil import resolve_name
from typing import Any, get_args, get_type_hints

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stde_cli.config.schema import BenchmarkConfig, CandidateConfig, TrialConfig
from stde_cli.config.targets import GROUPS, check_group, check_numbers, check_value
from stde_cli.problem.references import METHODS
from stde_cli.runs.reporting.tables import FORMATS
from stde_cli.system.errors import UsageError
from stde_cli.system.prng import GENERATORS
from stde_cli.system.ranges import Precision, Switch

_CHOICES = {
    "resume": ("never", "auto", "retry"),
    "runtime.precision": get_args(Precision),
    "runtime.matmul_precision": ("default", "high", "highest", "bfloat16", "tensorfloat32"),
    "runtime.generator": GENERATORS,
    "runtime.platform": (None, "cpu", "gpu", "cuda", "rocm", "tpu", "metal"),
    "reference.method": ("none", *METHODS),
    "bench.format": ("table", "json", *FORMATS),
}


def validate(
    config: DictConfig, *, trusted: bool = True, tracked: bool = True, new: bool = True
) -> None:
    """Check values by themselves and against each other.

    Args:
        trusted: classes may be imported that come neither from this package nor from optax.
        tracked: the tracker is to be built, too.
        new: it is not that of a run made already, where earlier versions let more directions pass.

    Raises:
        UsageError: the first fault found.
        Untrusted: a class of others, where they are not trusted.
    """
    known = {field.name for field in dataclasses.fields(BenchmarkConfig)}
    for key in config:
        if key not in known:
            raise UsageError(str(key), config[key], "no such key", "see: stde solve --cfg job")
    groups = [group for group in GROUPS if tracked or group != "tracker"]
    written: Any = OmegaConf.to_container(config)
    settings = {
        str(key): _resolved(config, str(key))
        for key in config
        if (key in groups or key not in GROUPS) and written[key] != MISSING
    }
    check_schema(settings, BenchmarkConfig)
    if settings.get("trial") is not None:
        check_value(settings["trial"], Mapping, "trial")
        check_schema(settings["trial"], TrialConfig, "trial.")
    for name, candidate in settings["race"]["candidates"].items():
        _check_candidate(f"race.candidates.{name}", candidate)
    check_numbers(settings)
    for key, choices in _CHOICES.items():
        value = OmegaConf.select(config, key, default=choices[0])
        if value not in choices:
            names = ", ".join("null" if c is None else c for c in choices)
            raise UsageError(key, value, f"must be one of {names}")
    for group in groups:
        choice = config.choices.get(group)
        check_group(group, settings.get(group), choice=choice, trusted=trusted)
    _check_across(config, new=new)


def _check_candidate(where: str, settings: Any) -> None:
    """A mapping of the user's making, which Hydra holds against no schema."""
    check_value(settings, Mapping, where)
    known = {field.name: field for field in dataclasses.fields(CandidateConfig)}
    for key in settings.keys() - known.keys():
        mend = f"choose from {', '.join(known)}"
        raise UsageError(f"{where}.{key}", settings[key], "no such key", mend)
    if "overrides" not in settings:
        raise UsageError(f"{where}.overrides", None, "is missing", "give a list of overrides")
    check_schema(settings, CandidateConfig, f"{where}.")


def _resolved(config: DictConfig, key: str) -> Any:
    try:
        value = config[key]
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException as error:
        where, written = _unresolved(config, OmegaConf.to_container(config), (key,)) or (key, None)
        why, mend = " ".join(str(error).splitlines()[0].split()), ""
        if name := re.search(r"Environment variable '(.*?)' not found", why):
            why, mend = f"the environment variable {name[1]} is not set", f"export {name[1]}=..."
        raise UsageError(where, written, why, mend) from error


def _unresolved(node: Any, raw: Any, keys: Iterable[Any], at: str = "") -> tuple[str, Any] | None:
    """The key below `node` whose interpolation leads nowhere, and what is written there."""
    for key in keys:
        where = f"{at}[{key}]" if isinstance(raw, list) else f"{at}.{key}".strip(".")
        try:
            value = node[key]
        except OmegaConfBaseException:
            return where, raw[key]
        if isinstance(raw[key], dict | list):
            below = raw[key] if isinstance(raw[key], dict) else range(len(raw[key]))
            if found := _unresolved(value, raw[key], below, where):
                return found
    return None


def check_schema(settings: dict[str, Any], schema: type, under: str = "") -> None:
    """The typed part: everything but the groups."""
    for name, hint in get_type_hints(schema, include_extras=True).items():
        if name not in settings:
            continue
        if dataclasses.is_dataclass(hint):
            assert isinstance(hint, type)
            check_schema(settings[name], hint, f"{under}{name}.")
        else:
            check_value(settings[name], bool if hint == Switch else hint, f"{under}{name}")


def _check_across(config: DictConfig, *, new: bool) -> None:
    dim = config.dim
    solution = OmegaConf.select(config, "pde.solution._target_")
    if solution is not None:
        needed = getattr(resolve_name(solution), "window", 1)
        if dim < needed:
            name = config.choices.get("pde/solution")
            raise UsageError("dim", dim, f"pde/solution={name} needs {needed} coordinates or more")
    precision = config.runtime.precision
    for group in ("start", "optimizer"):
        wanted = OmegaConf.select(config, f"{group}.precision")
        if wanted == "float64" and precision != wanted:
            why = f"{group}={config.choices.get(group)} solves for digits that it does not have"
            raise UsageError("runtime.precision", precision, why, "leave it out")
    batch = OmegaConf.select(config, "estimator.batch")
    text = OmegaConf.select(config, "pde.coordinates") is not None
    if batch is not None and batch > dim and new:
        why = f"more directions than dim={dim} has"
        mend = f"set estimator.batch={dim} or fewer, or estimator=exact"
        raise UsageError("estimator.batch", batch, why, mend)
    block = OmegaConf.select(config, "network.block_size")
    # Of a PDE from text only its class knows how long a point is; the network will say.
    if block is not None and not text and dim % block:
        divisors = [b for b in range(1, min(dim, 10_000) + 1) if dim % b == 0]
        nearest = min(divisors, key=lambda b: abs(b - block))
        raise UsageError(
            "network.block_size", block, f"does not divide dim={dim}", f"{nearest} does"
        )
    for group in ("network", "start"):
        window, degree = (
            OmegaConf.select(config, f"{group}.{name}") for name in ("window", "degree")
        )
        if new and window is not None and degree is not None:
            check_terms(f"{group}.window", window, degree)


def check_terms(key: str, window: int, degree: int, *, periodic: bool = False) -> None:
    """Each term of a polynomial is compiled by itself; of periodic coordinates it has more."""

    def count(degree: int) -> int:
        if not periodic:
            return comb(window + degree, degree)
        # A sine and a cosine for each of the coordinates that are in a term.
        each = (2**k * comb(window, k) * comb(degree, k) for k in range(window + 1))
        return sum(each)

    terms = count(degree)
    if terms > _MOST_TERMS:
        highest = max(n for n in range(degree) if count(n) <= _MOST_TERMS)
        what = "periodic coordinates" if periodic else "coordinates"
        why = f"a polynomial of {window} {what} and degree {degree} has {terms:,} terms"
        also = f", or {key.replace('window', 'degree')} to {highest}" if highest else ""
        mend = f"lower it{also}"
        raise UsageError(key, window, why, mend)


_MOST_TERMS = 2_000
