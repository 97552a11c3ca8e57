"""Hydra's and OmegaConf's errors as one line each: the key, the value, the mend."""

import difflib
import re
from pathlib import Path

from omegaconf import OmegaConf

from stde_cli.system.errors import UsageError

_EXTRAS = {"joblib": "sweep", "submitit_local": "sweep", "submitit_slurm": "sweep"}


def explain(error: Exception, directory: Path, command: str) -> UsageError:
    """The error that the user is shown."""
    # Hydra wraps the telling error in a less telling one.
    text = "\n".join(str(e) for e in (error, error.__cause__) if e is not None)
    for attempt in (_unknown_choice, _unknown_key, _wrong_type, _bad_syntax):
        explained = attempt(text, directory, command)
        if explained:
            return explained
    return UsageError(command, None, " ".join(text.split("\n")[0].split()), _help(command))


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
    known = _known_keys(directory)
    near = difflib.get_close_matches(key, [k for k in known if "." in k or "." not in key], n=1)
    mend = f"did you mean {near[0]}?" if near else _help(command)
    if not near and key.rpartition(".")[0] in known:
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
    key = re.search(r"full_key: (\S+)", text) or re.search(r"Error merging override (\S+?)=", text)
    if key is None:
        return None
    why = f"must be of type {wanted}" if wanted else " ".join(text.split("\n")[0].split())
    return UsageError(key[1], value, why)


def _bad_syntax(text: str, directory: Path, command: str) -> UsageError | None:
    match = re.search(r"Error parsing override '(.*?)'", text)
    if not match:
        return None
    mend = "overrides are written key=value; quote values with special characters"
    return UsageError(match[1], None, "not an override", mend)


def _known_keys(directory: Path) -> list[str]:
    """Every key of every YAML file, as it is written on the command line, and every group."""
    from stde_cli.config.schema import BenchmarkConfig

    keys = set(_paths(OmegaConf.to_container(OmegaConf.structured(BenchmarkConfig))))
    for file in directory.rglob("*.yaml"):
        parts = file.relative_to(directory).with_suffix("").parts
        keys.add("/".join(parts[:-1]))
        content = OmegaConf.to_container(OmegaConf.load(file))
        prefix = "" if parts[0] in ("experiment",) else ".".join(parts[:-1])
        keys.update(f"{prefix}.{path}".strip(".") for path in _paths(content))
    return sorted(key for key in keys if key and key[0] != "_" and "._" not in key)


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
