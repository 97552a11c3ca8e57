"""Hydra's and OmegaConf's errors as one line each: the key, the value, the mend."""

import difflib
import re
from pathlib import Path

from hydra.errors import OverrideParseException
from omegaconf import OmegaConf

from stde_cli.system.errors import UsageError

_EXTRAS = {"joblib": "sweep"}


def explain(error: Exception, directory: Path, command: str) -> UsageError:
    """The error that the user is shown."""
    # Hydra wraps the telling error in a less telling one.
    text = "\n".join(str(e) for e in (error, error.__cause__) if e is not None)
    attempts = (
        _no_list_of_overrides,
        _no_list,
        _several_values,
        _interval,
        _unknown_choice,
        _unknown_key,
        _no_such_variable,
        _wrong_type,
    )
    for attempt in (*attempts, _bad_syntax):
        explained = attempt(text, directory, command)
        if explained:
            return explained
    if isinstance(error, OverrideParseException):
        return UsageError(error.override, None, "not an override", _WRITTEN)
    return UsageError(_key_in(text) or command, None, _first_line(text), _help(command))


def _first_line(text: str) -> str:
    return " ".join(text.strip().split("\n")[0].split())


def _key_in(text: str) -> str | None:
    """The key that OmegaConf names below its errors."""
    match = re.search(r"full_key: (\S+)", text)
    return match[1] if match else None


def _no_list_of_overrides(text: str, directory: Path, command: str) -> UsageError | None:
    match = re.search(r"merging override \W*(bench\.variants\.\w+)=(.*)", text)
    if not match or "is not in struct" in text:
        return None
    mend = f"write \"+{match[1]}=['network.width=256']\", say"
    return UsageError(match[1], match[2], "must be a list of overrides", mend)


def _no_list(text: str, directory: Path, command: str) -> UsageError | None:
    """Whichever key of the schema is a list."""
    match = re.search(r"Error merging override ([^\s=]+)=(.*)", text)
    said = re.search(r"is not a ListConfig|Cannot merge \w+ with ListConfig", text)
    if not match or not said:
        return None
    return no_list(match[1].lstrip("+~"), match[2])


def no_list(key: str, value: str) -> UsageError:
    """Of a key whose value is to be a list."""
    # A mapping, or what stands within a list, is no member of one that is typed.
    mend = "" if "[" in key or value.startswith("{") else f"write {key}=[{value}]"
    return UsageError(key, value, "must be a list", mend)


def _several_values(text: str, directory: Path, command: str) -> UsageError | None:
    match = re.search(r"Ambiguous value for argument '(.*?)=(.*?)'", text)
    if not match:
        return None
    key, values = match[1], match[2]
    mend = f"add -m to sweep over them, or write {key}=[{values}] for a list"
    return UsageError(key, values, "these are several values", mend)


def _interval(text: str, directory: Path, command: str) -> UsageError | None:
    if alone := re.search(r"Sweep parameters '(.*?)=(.*)' requires --multirun", text):
        mend = "add -m, and for an interval hydra/sweeper=optuna"
        return UsageError(alone[1], alone[2], "these are several values", mend)
    if "does not support sweep type : INTERVAL_SWEEP" not in text:
        return None
    why = "an interval has no end of values"
    return UsageError("-m", None, why, "add hydra/sweeper=optuna, or write range(low, high, step)")


def _no_such_variable(text: str, directory: Path, command: str) -> UsageError | None:
    match = re.search(r"Environment variable '(.*?)' not found", text)
    if not match:
        return None
    why = f"the environment variable {match[1]} is not set"
    return UsageError(_key_in(text) or command, None, why, f"export {match[1]}=...")


def _unknown_choice(text: str, directory: Path, command: str) -> UsageError | None:
    match = re.search(r"Could not find '([^']+)'", text)
    if not match:
        return None
    group, _, name = match[1].rpartition("/")
    if name in _EXTRAS:
        mend = f"pip install 'stde[{_EXTRAS[name]}]'"
        return UsageError(group, name, "the launcher is not installed", mend)
    listed = re.search(r"Available options in '[^']+':\n((?:\t.+\n?)+)", text)
    options = [line.strip() for line in listed[1].splitlines()] if listed else []
    return _no_such_choice(group, name, options)


def _no_such_choice(group: str, name: str, options: list[str]) -> UsageError:
    near = difflib.get_close_matches(name, options, n=1)
    choices = f"choose from {', '.join(options)}" if options else "see: stde list"
    mend = f"did you mean {near[0]}? ({choices})" if near else choices
    return UsageError(group, name, "no such choice", mend)


def nameless_choice(arguments: list[str], directory: Path) -> UsageError | None:
    """What Hydra has no error of its own for: a number, say, where the name of a choice belongs."""
    for argument in arguments:
        group, _, name = argument.partition("=")
        options = sorted(file.stem for file in (directory / group).glob("*.yaml"))
        if name and "/" not in name and options and name not in options:
            return _no_such_choice(group, name, options)
    return None


def _unknown_key(text: str, directory: Path, command: str) -> UsageError | None:
    match = re.search(r"Could not override '([^']+)'", text)
    key = match[1] if match else None
    if key is None:
        match = re.search(r"(?:Key|Error merging override) '?([\w./@]+)'? (?:is )?not in", text)
        key = match[1] if match else None
    if key is None:
        return None
    within = re.search(r"full_key: (\S+)", text)
    if within and within[1].startswith(f"{key}."):
        return UsageError(within[1], None, "no such key", f"write +{within[1]}=... to add it")
    if appended := re.search(r"append to your default list use (\S+)", text):
        return UsageError(key, None, "is no part of the defaults", f"write {appended[1]}")
    known = _known_keys(directory)
    if choices := sorted(known.get(key, set()) - {""}):
        mend = f"{' and '.join(choices)} {'has' if len(choices) == 1 else 'have'} it"
        return UsageError(key, None, "the choice that is made has no such key", mend)
    parent = key.rpartition(".")[0]
    # What the key stands below is no other spelling of it.
    candidates = [
        k for k in known if not key.startswith((f"{k}.", f"{k}=")) and k != key and "." in k
    ]
    candidates += [k for k in known if "." not in k and "." not in key and k != key]
    near = difflib.get_close_matches(key, candidates, n=1)
    mend = f"did you mean {near[0]}?" if near else _help(command)
    if parent == "bench.variants":
        mend = f"a variant of your own is a list of overrides: \"+{key}=['network.width=256']\""
    elif not near and parent in known:
        mend = f"write +{key}=... if its target takes it"
    return UsageError(key, None, "no such key", mend)


def _wrong_type(text: str, directory: Path, command: str) -> UsageError | None:
    match = re.search(r"Value '(.*?)' of type '\w+' could not be converted to (\w+)", text)
    if match:
        value, wanted = match[1], match[2].lower()
    else:
        match = re.search(r"Value '(.*?)' \(?.*?\)? ?(?:is not a valid|could not)", text)
        wanted = None
        value = match[1] if match else None
    override = re.search(r"Error merging override ([^\s=]+)=(.*)", text)
    key = _key_in(text) or (override[1] if override else None)
    if key is None or (override is None and wanted is None):
        return None
    if wanted:
        return UsageError(key, value, f"must be of type {wanted}")
    # The first line says no more than what was typed.
    lines = [line for line in text.split("\n") if line.strip() and "merging override" not in line]
    return UsageError(key, value or (override[2] if override else None), _first_line(lines[0]))


def _bad_syntax(text: str, directory: Path, command: str) -> UsageError | None:
    match = re.search(r"Error parsing override '(.*?)'", text)
    if not match:
        return None
    return UsageError(match[1], None, "not an override", _WRITTEN)


_WRITTEN = "overrides are written key=value; quote values with special characters"


def _known_keys(directory: Path) -> dict[str, set[str]]:
    """Every key of every YAML file, as it is typed, and every group: the choices that have it."""
    from stde_cli.config.schema import BenchmarkConfig

    schema = OmegaConf.to_container(OmegaConf.structured(BenchmarkConfig))
    keys = {path: {""} for path in _paths(schema)}
    for file in sorted(directory.rglob("*.yaml")):
        parts = file.relative_to(directory).with_suffix("").parts
        group = "/".join(parts[:-1])
        keys.setdefault(group, set()).add("")
        content = OmegaConf.to_container(OmegaConf.load(file))
        prefix = "" if parts[0] in ("experiment",) else ".".join(parts[:-1])
        choice = f"{group}={parts[-1]}" if prefix else ""
        for path in _paths(content):
            keys.setdefault(f"{prefix}.{path}".strip("."), set()).add(choice)
    return {key: found for key, found in keys.items() if key and key[0] != "_" and "._" not in key}


def _paths(content: object, prefix: str = "") -> list[str]:
    if not isinstance(content, dict):
        return []
    found = []
    for key, value in content.items():
        path = f"{prefix}{key}"
        found += [path, *_paths(value, path + ".")]
    return found


def _help(command: str) -> str:
    return f"see: stde {command} --help"
