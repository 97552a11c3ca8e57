"""What a `_target_` may be, and whether the settings beside it are what it asks for.

Each group takes one kind of class, and a class says by its annotations what each argument may be:
a user's own class too. Nothing is called here; what is of the wrong kind never is.
"""

import inspect
import sys
import sysconfig
import typing
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple

import equinox as eqx
import optax
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from stde_cli.config.hydra_errors import no_list
from stde_cli.estimators import AbstractEstimator
from stde_cli.expressions.symmetric import Arguments
from stde_cli.objective.collocation import AbstractCollocation
from stde_cli.objective.losses import AbstractLoss
from stde_cli.objective.weighting import AbstractWeighting
from stde_cli.problem.pdes import AbstractPDE
from stde_cli.runs.tracking import Tracker
from stde_cli.system.errors import UsageError
from stde_cli.system.ranges import Count, NonNegative, Positive, Precision, ProperFraction
from stde_cli.training.start import AbstractStart

GROUPS: Mapping[str, Any] = {
    "pde": AbstractPDE,
    "start": AbstractStart,
    "network": Callable,
    "estimator": AbstractEstimator,
    "collocation": AbstractCollocation,
    "loss": AbstractLoss,
    "weighting": AbstractWeighting,
    "optimizer": optax.GradientTransformation,
    "schedule": Callable,
    "tracker": Tracker,
}
"""What the targets of each group make."""

_OURS = ("stde_cli", "optax")
_NUMBERS = "stde_cli.problem.pdes.parameters"
"""Where the functions are that make numbers, for what asks for nothing more definite."""

_PLAIN = ("builtins", "collections", "jax", "jaxlib", "jaxtyping", "numpy", "types", "typing")
"""Where the classes are that are no kind of ours: numbers, lists, arrays."""

_OF_HYDRA = ("_target_", "_partial_", "_recursive_", "_convert_", "_args_")

# Optax says of its numbers that they are numbers.
_OPTAX: Mapping[str, Any] = {
    "learning_rate": Positive,
    "b1": ProperFraction,
    "b2": ProperFraction,
    "decay": ProperFraction,
    "momentum": ProperFraction,
    "eps": NonNegative,
    "eps_root": NonNegative,
    "weight_decay": NonNegative,
    "memory_size": Count,
    "ns_steps": Count,
    "consistent_rms": Positive,
}

BESIDE_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "network": {"of": Arguments},
    "start": {"precision": Precision},
    "optimizer": {"precision": Precision},
}
"""Settings of a group that its class is not given, and what each must be where it is not null."""

_LARGEST_FLOAT = 3.4e38
"""In single precision; what is no number is not below it either."""

Node = Mapping[str, Any]


class Untrusted(Exception):
    """A target outside this package and optax, where only those may be imported."""


class _Place(NamedTuple):
    """A `_target_` in the configuration: its key, and whether code of others may be imported."""

    key: str
    trusted: bool

    def below(self, name: object) -> "_Place":
        step = f"[{name}]" if isinstance(name, int) else f".{name}"
        return self._replace(key=self.key + step)


def check_group(group: str, settings: Any, *, choice: str | None, trusted: bool = True) -> None:
    """The settings of a group name a class of its kind, and give it what it asks for.

    Raises:
        UsageError: at the key that is at fault.
        Untrusted: the class, or one below it, is code of others.
    """
    if not isinstance(settings, Mapping):
        raise UsageError(group, _shown(settings), "must be a choice, or a mapping with a _target_")
    if not isinstance(settings.get("_target_"), str):
        why = "its file names no class"
        raise UsageError(group, choice, why, f"give it a _target_, of a {_name(GROUPS[group])}")
    beside = BESIDE_ARGUMENTS.get(group, {})
    for name in beside.keys() & settings.keys():
        if settings[name] is not None:
            check_value(settings[name], beside[name], f"{group}.{name}")
    arguments = {name: value for name, value in settings.items() if name not in beside}
    _check_node(arguments, GROUPS[group], _Place(group, trusted))


def check_target(settings: Any, kind: type, key: str) -> None:
    """A node beside the groups names a class of a `kind`, and gives it what it asks for.

    Raises:
        UsageError: at `key`, or below it.
    """
    if not isinstance(settings, Mapping) or not isinstance(settings.get("_target_"), str):
        raise UsageError(key, _shown(settings), f"give it a _target_, of a {_name((kind,))}")
    _check_node(settings, kind, _Place(key, trusted=True))


def check_numbers(settings: Any, key: str = "") -> None:
    """Every number is finite, in single precision too."""
    if isinstance(settings, float | int) and not isinstance(settings, bool):
        if not abs(settings) <= _LARGEST_FLOAT:
            raise UsageError(key, settings, "must be a finite number, in single precision too")
    elif isinstance(settings, Mapping):
        for name, value in settings.items():
            check_numbers(value, f"{key}.{name}" if key else str(name))
    elif isinstance(settings, list):
        for number, value in enumerate(settings):
            check_numbers(value, f"{key}[{number}]")


def check_value(value: Any, hint: Any, key: str) -> None:
    """A plain value is what an annotation asks for. YAML's lists will do for tuples.

    Raises:
        UsageError: at `key`, or below it.
    """
    if value == "???":
        raise UsageError(key, None, "has no value yet", f"give it one: {key}=...")
    check = _check_of(hint)
    if check is None:
        return
    try:
        check(value)
    except ValidationError as error:
        try:
            check(_with_tuples(value))
        except ValidationError:
            raise _refusal(value, error, key) from error


def _check_node(node: Node, kind: Any, place: _Place) -> None:
    target = node["_target_"]
    found = _located(target, kind, place)
    _check_kind(found, target, kind, place)
    if "_args_" in node:
        raise UsageError(f"{place.key}._args_", None, "arguments are given by name")
    check_value(node.get("_partial_", False), bool, f"{place.key}._partial_")
    try:
        parameters = inspect.signature(found).parameters
        takes_more = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    except (TypeError, ValueError):
        parameters, takes_more = {}, True
    for name, value in node.items():
        if name in _OF_HYDRA:
            continue
        here = place.below(name)
        if name in parameters:
            _check_argument(value, _hint(found, parameters[name]), here)
        elif takes_more:
            _check_argument(value, Any, here)
        else:
            near = get_close_matches(str(name), parameters, n=1)
            known = ", ".join(p for p in parameters if p not in ("key", "self"))
            mend = f"did you mean {near[0]}?" if near else f"it takes {known or 'nothing'}"
            short = target.rpartition(".")[2]
            raise UsageError(here.key, _shown(value), f"{short} takes no {name}", mend)


def _check_argument(value: Any, hint: Any, place: _Place) -> None:
    nested = list(_nodes(value, place))
    for node, where in nested:
        _check_node(node, _kinds(hint), where)
    if not nested:
        check_value(value, hint, place.key)


def _nodes(value: Any, place: _Place) -> Iterator[tuple[Node, _Place]]:
    """The outermost mappings with a `_target_` within a value."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield value, place
            return
        items: Any = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return
    for name, each in items:
        yield from _nodes(each, place.below(name))


def _located(target: Any, kind: Any, place: _Place) -> Any:
    key = f"{place.key}._target_"
    if not isinstance(target, str):
        raise UsageError(key, _shown(target), "must be the name of a class")
    top = target.partition(".")[0]
    if top in sys.stdlib_module_names:
        raise UsageError(key, target, f"is no {_name(kind)}")
    if not place.trusted and top not in _OURS:
        raise Untrusted(target)
    try:
        found = resolve_name(target)
    # A module of the user's own may fail in any way.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).split("\n")[-1]
        mend = _near_target(target)
        raise UsageError(key, target, f"cannot be imported ({reason})", mend) from error
    # Whatever way leads there: modules hold other modules.
    home = _home(found)
    if home in sys.stdlib_module_names or not callable(found):
        raise UsageError(key, target, f"is no {_name(kind)}")
    if not place.trusted and home not in _OURS:
        raise Untrusted(target)
    return found


def _near_target(target: str) -> str:
    import stde_cli

    near = get_close_matches(target, [f"stde_cli.{name}" for name in dir(stde_cli)], n=1)
    return f"did you mean {near[0]}?" if near else "check its name"


def _check_kind(found: Any, target: str, kind: Any, place: _Place) -> None:
    """A class by what it is, a function by what it says it makes; the user's own need not say."""
    made = found if isinstance(found, type) else _returned(found)
    if kind is None:
        # A class of the user's own may hand on what it does not name, a solution say. To make a
        # module of ours does nothing; a tracker, or the checkpoints of a run, write files.
        ours = _is_subclass(found, eqx.Module) and _home(found) == "stde_cli"
        fits = ours or getattr(found, "__module__", None) == _NUMBERS
    elif made is None or made is Any:
        fits = False
    else:
        fits = _is_subclass(typing.get_origin(made) or made, kind)
    unsaid = kind is None or made is None or made is Any
    if not fits and not (unsaid and not _is_installed(found)):
        of = "function of stde_cli.parameters or of your own" if kind is None else _name(kind)
        raise UsageError(f"{place.key}._target_", target, f"is no {of}")


def _is_subclass(made: Any, kind: Any) -> bool:
    return isinstance(made, type) and issubclass(made, kind)


def _home(found: Any) -> str:
    return str(getattr(found, "__module__", None) or "builtins").partition(".")[0]


def _is_installed(found: Any) -> bool:
    """Whether it comes with Python, this package, or another that pip installed."""
    module = sys.modules.get(getattr(found, "__module__", ""))
    file = getattr(module, "__file__", None)
    if file is None or _home(found) in _OURS:
        return True
    places = {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
    return any(Path(file).is_relative_to(place) for place in places)


def _kinds(hint: Any) -> Any:
    """The classes of ours, or of others, that an annotation speaks of; None if of none."""
    parts = typing.get_args(hint)
    if parts:
        flat = (each for part in parts for each in (part if isinstance(part, list) else [part]))
        found = [kind for part in flat for kind in _kinds(part) or ()]
        return tuple(found) or None
    plain = not isinstance(hint, type) or hint.__module__.partition(".")[0] in _PLAIN
    return None if plain else (hint,)


def _returned(found: Any) -> Any:
    try:
        return _evaluated(inspect.signature(found).return_annotation, found)
    except (TypeError, ValueError):
        return None


def _hint(found: Any, parameter: inspect.Parameter) -> Any:
    if _home(found) == "optax" and parameter.name in _OPTAX:
        known = _OPTAX[parameter.name]
        return known | None if parameter.default is None else known
    hint = _evaluated(parameter.annotation, found)
    if hint is not None:
        return hint
    # Without an annotation the default tells, if it is plain.
    match parameter.default:
        case bool():
            return bool
        case int() | float():
            return float
        case str():
            return str
    return Any


def _evaluated(annotation: Any, found: Any) -> Any:
    """An annotation; None where there is none, or where its names are not to be found."""
    if annotation is inspect.Signature.empty:
        return None
    if isinstance(annotation, str):
        module = sys.modules.get(getattr(found, "__module__", ""))
        try:
            return eval(annotation, vars(module) if module else {})
        except Exception:
            return None
    return annotation


def _check_of(hint: Any) -> Callable[[Any], Any] | None:
    try:
        settings = ConfigDict(strict=True, arbitrary_types_allowed=True)
        return TypeAdapter(hint, config=settings).validate_python
    except (PydanticUserError, PydanticSchemaGenerationError, NameError, TypeError):
        return None  # An annotation that says nothing which can be checked.


def _with_tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_with_tuples, value))
    if isinstance(value, Mapping):
        return {name: _with_tuples(each) for name, each in value.items()}
    return value


_TYPES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "complex_type": "",
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "bool_type": "true or false",
    "none_required": "null",
    "mapping_type": "a mapping (key: value)",
    "dict_type": "a mapping (key: value)",
    "list_type": "a list",
    "tuple_type": "a list",
    "literal_error": "one of {expected}",
}
_LIMITS = {
    "greater_than_equal": "must be {ge:.10g} or more",
    "greater_than": "must be above {gt:.10g}",
    "less_than_equal": "must not exceed {le:.10g}",
    "less_than": "must be below {lt:.10g}",
    "too_short": "must hold {min_length} or more",
}
_CLASSES = {"Mapping": "a mapping (key: value)", "Sequence": "a list"}


def _refusal(value: Any, error: ValidationError, key: str) -> UsageError:
    faults = error.errors(include_url=False)
    limits = [fault for fault in faults if fault["type"] in _LIMITS]
    first = (limits or faults)[0]
    for step in first["loc"]:
        # Beside keys and positions there are the members of unions.
        if isinstance(value, Mapping) and step in value:
            key, value = f"{key}.{step}", value[step]
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            key, value = f"{key}[{step}]", value[step]
    if limits:
        why = _LIMITS[first["type"]].format(**first.get("ctx", {}))
    else:
        said = (_asked(fault["type"], fault.get("ctx", {})) for fault in faults)
        asked = list(dict.fromkeys(filter(None, said)))
        if asked == ["a list"]:
            return no_list(key, _shown(value))
        why = f"must be {' or '.join(asked)}" if asked else "must be an object with a _target_"
    return UsageError(key, _shown(value), why)


def _asked(kind: str, context: Mapping[str, Any]) -> str:
    if kind == "is_instance_of":
        return _CLASSES.get(context["class"], "")
    return _TYPES.get(kind, "").format(**context).replace("'", "")


def _name(kind: Any) -> str:
    """How a kind is called in a sentence."""
    if kind is None:
        return "function that makes numbers"
    if kind is Callable:
        return "function or class that makes one"
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(each.__name__ for each in kinds)


def _shown(value: object) -> str:
    """As YAML has it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case "":
            return "''"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
