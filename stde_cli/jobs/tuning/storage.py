"""The file of a study. Imported only where there is one: optuna is an extra."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from stde_cli.system.errors import UsageError

KEY = "hydra.sweeper.storage"

# What a user must know is said by us.
optuna.logging.get_logger("optuna").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", category=ExperimentalWarning)


def open_storage(path: Path) -> BaseStorage:
    """The journal at `path`, made where there is none. Appended to under a lock of its own.

    Raises:
        UsageError: it cannot be written, or holds something else.
    """
    if ":/" in str(path):
        raise UsageError(KEY, path, "a study is kept in a file, in no database", "give its path")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
        return JournalStorage(JournalFileBackend(str(path)))
    except OSError as error:
        why = f"cannot be written to ({error.strerror})"
        raise UsageError(KEY, path, why, "choose another") from error
    # It reads what is no record of its own in various ways.
    except Exception as error:
        raise UsageError(KEY, path, "it holds no study", "choose another") from error


def made(node: Mapping[str, Any]) -> Any:
    """The sampler or pruner that a node of the configuration names."""
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    return resolve_name(node["_target_"])(**arguments)
