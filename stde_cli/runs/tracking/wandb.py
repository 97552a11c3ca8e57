"""Weights & Biases. Imported only where `tracker=wandb` asks for it."""

import netrc
import os
import socket
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import wandb
from pydantic import ValidationError
from wandb.errors import Error as WandbError

from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.summary import FINISHED, PRUNED
from stde_cli.runs.sweep import sweep_of
from stde_cli.system.errors import UsageError

_CONNECT_SECONDS = 2.0
_PREFIX = "WANDB_"
_LONGEST_TAG = 64


class WandbTracker:
    """Mirrors a run to wandb: config, metrics with explicit steps, summary.

    Without an API key or a network the run is recorded offline at once: the client itself would
    raise, or wait for a minute and a half. The run's id is kept in the run directory, so that a
    resumed run goes on in the same place. Jobs of a sweep are a group, called as its directory is,
    each with what it varies as tags. A variable of the environment that is empty says nothing.

    Raises:
        UsageError: a variable says what wandb does not know.
    """

    def __init__(
        self,
        project: str = "stde",
        entity: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
    ):
        self.project, self.entity, self.group, self.tags = project, entity, group, tags
        self._run: Any = None
        _check_environment()
        try:
            wandb.Settings(project=project, entity=entity, run_group=group)
        except (ValidationError, WandbError) as error:
            raise UsageError("tracker", "wandb", str(error).splitlines()[0]) from error

    def start(self, run: RunDirectory, config: dict[str, Any], say: Callable[[str], None]) -> None:
        obstacle = None if os.environ.get("WANDB_MODE") else obstacle_to_online()
        try:
            self._run = self._begin(run, config, offline=obstacle is not None)
        except WandbError as error:
            # A key that is refused, say. Training is worth more than where its figures go.
            obstacle = str(error).splitlines()[0]
            self._run = self._begin(run, config, offline=True)
        if self._run.offline:
            reason = f" ({obstacle})" if obstacle else ""
            say(f"wandb is offline{reason}; upload later with: stde upload {run.path}")
        else:
            say(f"wandb: {self._run.url}")

    def _begin(self, run: RunDirectory, config: dict[str, Any], *, offline: bool) -> Any:
        sweep = sweep_of(run)
        group, varied = self.group, sweep.varied if sweep else []
        if sweep and not os.environ.get("WANDB_RUN_GROUP"):
            group = group or sweep.name
        with mock.patch.dict(os.environ):
            for name in set(os.environ) - set(_variables()):
                if name.startswith(_PREFIX):
                    del os.environ[name]
            return wandb.init(
                project=self.project,
                entity=self.entity,
                group=group,
                job_type=sweep.kind if sweep else None,
                tags=[*self.tags, *(text[:_LONGEST_TAG] for text in varied)],
                dir=str(run.path),
                name=run.path.name,
                id=_persistent_id(run),
                resume="allow",
                config=config,
                mode="offline" if offline else None,
                settings=wandb.Settings(silent=True, console="off"),
            )

    def log(self, step: int, figures: dict[str, float]) -> None:
        self._run.log(figures, step=step)

    def finish(self, summary: dict[str, Any]) -> None:
        if self._run is None:
            return
        self._run.summary.update(summary)
        self._run.finish(exit_code=0 if summary.get("status") in (FINISHED, PRUNED) else 1)


def _variables() -> dict[str, str]:
    """The variables of the environment that tell wandb something."""
    return {n: value for n, value in os.environ.items() if n.startswith(_PREFIX) and value}


def _check_environment() -> None:
    for name, value in _variables().items():
        try:
            wandb.Settings().update_from_env_vars({name: value})
        except ValidationError as error:
            why = error.errors()[0]["msg"].removeprefix("Value error, ").replace("Input", "it", 1)
            raise UsageError(name, value, why, f"give it another value, or unset {name}") from error


def _persistent_id(run: RunDirectory) -> str:
    file = run.path / "wandb_id"
    if not file.exists():
        file.write_text(uuid.uuid4().hex[:12])
    return file.read_text()


def obstacle_to_online() -> str | None:
    """Why wandb cannot go online, or None."""
    address = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai")
    host = address.hostname or ""
    if not os.environ.get("WANDB_API_KEY") and not _key_in_netrc(host):
        return "no API key; get one with: wandb login"
    if address.scheme == "https" and any(map(os.environ.get, ("HTTPS_PROXY", "https_proxy"))):
        return None  # The client goes through the proxy, which a connection of ours would not.
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
    except OSError:
        return f"{host} cannot be reached"
    return None


def _key_in_netrc(host: str) -> bool:
    path = os.environ.get("NETRC") or Path("~/.netrc").expanduser()
    try:
        return netrc.netrc(path).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
