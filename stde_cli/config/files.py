"""YAML files, read with care: a slip is told by its place, and nothing grows beyond all bounds.

An alias costs a few characters and stands for all that its anchor holds, aliases included: 463
bytes can ask for hours. What a file would expand to is counted before it is.
"""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import ClassVar

import yaml
from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stde_cli.system.errors import UsageError

_LARGEST = 1_000_000
"""Bytes of a file."""
_MOST_VALUES = 100_000
"""Keys and values, aliases expanded."""
_DEEPEST = 50
"""Mappings and lists within one another."""

_HINTS = {
    r"'\t'": "indent with spaces, not with tabs",
    "mapping values are not allowed": "put text that holds a colon in quotes",
    "found duplicate key": "keep one of the two",
    "could not find expected ':'": "write key: value",
    "found undefined alias": "a text that begins with * stands in quotes",
    "that cannot start any token": "put the text in quotes",
}


class Unreadable(ValueError):
    """Why a file is no configuration, with line and column where there is one."""


def load(file: Path) -> DictConfig:
    """The mapping that a file holds.

    Raises:
        Unreadable: it cannot be read, is no YAML, no mapping, or too large.
    """
    try:
        check(file)
        found = OmegaConf.load(file)
    except yaml.MarkedYAMLError as error:
        raise Unreadable(_told(error)) from error
    except (OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError) as error:
        raise Unreadable(_first_line(error)) from error
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from error
    assert isinstance(found, DictConfig)
    return found


def check(file: Path) -> None:
    """Read through a file without building what it describes.

    Raises:
        OSError, yaml.YAMLError, ValueError: as `load`.
    """
    size = file.stat().st_size
    if file.is_file() and size > _LARGEST:
        raise Unreadable(f"{size:,} bytes are more than the {_LARGEST:,} of a configuration")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable(f"it is no text in UTF-8 (byte {error.start})") from error
    _count(yaml.parse(text, Loader=yaml.SafeLoader))


def _count(events: Iterator[yaml.Event]) -> None:
    """Add up what the aliases stand for, from the inside out."""
    opened: list[tuple[str | None, int]] = []
    sizes: dict[str, int] = {}
    total, first = 0, True
    for event in events:
        place = f"line {event.start_mark.line + 1}, column {event.start_mark.column + 1}"
        if isinstance(event, yaml.NodeEvent) and first:
            first = False
            if not isinstance(event, yaml.MappingStartEvent):
                raise Unreadable(f"{place}: a configuration is a mapping; write key: value")
        if isinstance(event, yaml.AliasEvent):
            # An anchor that is not there is the composer's to tell.
            if event.anchor in {name for name, _ in opened}:
                raise Unreadable(f"{place}: *{event.anchor} stands within what it stands for")
            total += sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, total))
            total += 1
            if len(opened) > _DEEPEST:
                raise Unreadable(f"{place}: nested more than {_DEEPEST} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor:
                sizes[anchor] = total - before
        if total > _MOST_VALUES:
            raise Unreadable(f"{place}: more than {_MOST_VALUES:,} values, aliases expanded")


def _told(error: yaml.MarkedYAMLError) -> str:
    problem, mark = error.problem or str(error), error.problem_mark
    opening = error.context_mark
    # What is never closed is noticed at the end; the reader looks for where it was opened.
    if opening is not None and (error.context or "").startswith("while scanning a"):
        mark = opening
    place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
    began = ""
    if opening is not None and mark is not opening and mark is not None:
        began = f" ({error.context} that begins in line {opening.line + 1})"
    hint = next((mend for sign, mend in _HINTS.items() if sign in problem), "")
    return f"{place}{problem}{began}{f'; {hint}' if hint else ''}"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


class FileConfigSource(file_config_source.FileConfigSource):
    """Hydra's source of files, with their faults told, and each parsed once for as long as it is.

    To Hydra a command is two compositions, and a sweep two and one a job.
    """

    _parsed: ClassVar[dict[tuple[str, Path, int, int], ConfigResult]] = {}

    def load_config(self, config_path: str) -> ConfigResult:
        path = Path(self.path, self._normalize_file_name(config_path))
        try:
            now = path.stat()
            key = (self.provider, path, now.st_mtime_ns, now.st_size)
            if key not in self._parsed:
                check(path)
                self._parsed[key] = super().load_config(config_path)
            return deepcopy(self._parsed[key])
        except HydraException:
            raise
        except yaml.MarkedYAMLError as error:
            raise UsageError(_shown(path), None, _told(error)) from error
        except OSError as error:
            raise UsageError(_shown(path), None, error.strerror or str(error)) from error
        except (OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError) as error:
            raise UsageError(_shown(path), None, _first_line(error)) from error


def _shown(path: Path) -> str:
    """As the user knows it: relative to where the command is given, if it lies below."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def read_carefully() -> None:
    """Have Hydra read its files so, from now on."""
    Plugins.instance()
    # The registry keeps the first of a name; ours takes the place of Hydra's.
    SourcesRegistry.instance().types["file"] = FileConfigSource
