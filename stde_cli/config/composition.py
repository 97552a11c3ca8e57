"""From overrides to a configuration, as the command line has it, in a process of anybody's."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.singleton import Singleton
from hydra.errors import HydraException
from hydra.version import VersionBase
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from stde_cli.config.files import read_carefully
from stde_cli.config.hydra_errors import explain, nameless_choice
from stde_cli.config.schema import register
from stde_cli.system.errors import StdeError, UsageError


def config_directory() -> Path:
    """configs/: inside the package where it was installed, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def choices(hydra_config: Any) -> dict[str, str]:
    """The name chosen in each group of ours."""
    return {
        key.split("@")[0]: name
        for key, name in hydra_config.runtime.choices.items()
        if not key.startswith("hydra/") and name is not None
    }


def compose(
    command: str, overrides: Sequence[str], *, config_dir: str | Path | None = None
) -> DictConfig:
    """The configuration of `stde COMMAND OVERRIDES`, as the command would have it, not yet checked.

    Args:
        config_dir: a directory of the user's own YAML files, as for --config-dir.

    Raises:
        UsageError: an override is none, or names what is not there.
    """
    register()
    searched = []
    if config_dir is not None:
        if not Path(config_dir).is_dir():
            raise UsageError("config_dir", config_dir, "no such directory")
        searched = [override("hydra.searchpath", [f"file://{Path(config_dir).resolve()}"])]
    with _hydra_of_its_own(), explained(command, overrides):
        config = hydra.compose(command, [*overrides, *searched], return_hydra_config=True)
    with open_dict(config):
        config.choices = choices(config.pop("hydra"))
    return config


@contextmanager
def explained(command: str, arguments: Sequence[str]) -> Iterator[None]:
    """What Hydra says of a command's arguments is told as every other fault is.

    What a task raises within is left alone if it is told already.
    """
    read_carefully()
    try:
        yield
    except StdeError:
        raise
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, config_directory(), command) from error
    except RecursionError as error:
        mend = "look at the defaults of your own files"
        raise UsageError(
            "defaults", None, "a file names itself, or two one another", mend
        ) from error
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Hydra's own: for a list where the name of a choice belongs, say.
        nameless = nameless_choice(list(arguments), config_directory())
        raise nameless or explain(error, config_directory(), command) from error


@contextmanager
def _hydra_of_its_own() -> Iterator[None]:
    """Hydra's globals are put back: a program may use it for itself."""
    kept = {kind: Singleton._instances.pop(kind, None) for kind in (GlobalHydra, VersionBase)}
    try:
        with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
            yield
    finally:
        for kind, instance in kept.items():
            Singleton._instances.pop(kind, None)
            if instance is not None:
                Singleton._instances[kind] = instance


def override(key: str, value: Any) -> str:
    """`key=value` in the grammar of overrides, for a value of Python.

    Raises:
        UsageError: it is none that a configuration holds.
    """
    return f"{key}={_text(key, value)}"


def _text(key: str, value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case Integral():
            return repr(int(value))
        case Real():
            return repr(float(value))
        case str() | os.PathLike():
            text = os.fspath(value)
            return text if _is_plain(text) else QuotedString(text, Quote.single).with_quotes()
        case Mapping():
            return "{" + ",".join(f"{k}:{_text(key, v)}" for k, v in value.items()) + "}"
        case Sequence():
            return "[" + ",".join(_text(key, entry) for entry in value) + "]"
    if hasattr(value, "tolist"):
        return _text(key, value.tolist())
    why = f"a configuration holds no {type(value).__name__}"
    raise UsageError(key, None, why, "give numbers, text, lists or dicts")


def _is_plain(text: str) -> bool:
    """Whether the grammar reads a text as it stands, and as a text."""
    words = ("null", "true", "false", "nan", "inf")
    return bool(re.fullmatch(r"[A-Za-z_/][\w./-]*", text, re.ASCII)) and text.lower() not in words
