"""The real command, as a process."""

import inspect
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from stde_cli.cli import solve
from stde_cli.cli.main import main

SMALL = ("dim=6", "steps=40", "network.width=8", "estimator.batch=3", "evaluation.points=200")
"""Overrides of a problem that trains in a moment."""

_OFFLINE = {"WANDB_API_KEY": "", "NETRC": os.devnull, "JAX_PLATFORMS": "cpu"}
# Compiled as for a user. Most tests solve the same small problem: once serves them all.
_COMPILED_ONCE = {
    "XLA_FLAGS": "",
    "JAX_COMPILATION_CACHE_DIR": str(Path(tempfile.gettempdir()) / f"stde-tests-{os.getuid()}"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


@dataclass
class Outcome:
    status: int
    out: str
    err: str

    def check(self) -> "Outcome":
        assert self.status == 0, f"status {self.status}\n{self.out}\n{self.err}"
        return self


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, **_OFFLINE, **_COMPILED_ONCE, **changes}


def stde(
    *arguments: str, cwd: Path, env: dict[str, str] | None = None, within: tuple[str, ...] = ()
) -> Outcome:
    """Run `stde` with `arguments` in `cwd`, under the command `within`, and wait for it."""
    done = subprocess.run(
        [*within, sys.executable, "-m", "stde_cli", *arguments],
        cwd=cwd,
        env=env or environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def in_process(*arguments: str, capsys: pytest.CaptureFixture[str]) -> Outcome:
    """As `stde`, without the seconds that a process takes to start.

    What a command leaves in the process is put back.
    """
    path, kept = list(sys.path), dict(os.environ)
    capsys.readouterr()
    # Hydra hands a DictConfig for what the annotation calls HydraConf.
    place = inspect.unwrap(solve._place)
    # Its logging closes the handlers of others, and absl's then closes pytest's own stream.
    kept_open = mock.patch("absl.logging.PythonHandler.close")
    try:
        with kept_open, mock.patch.object(solve, "_place", place):
            status = main(list(arguments))
    finally:
        sys.path[:] = path
        os.environ.clear()
        os.environ.update(kept)
    captured = capsys.readouterr()
    return Outcome(status, captured.out, captured.err)


def stde_interrupted(
    *arguments: str, cwd: Path, number: signal.Signals, once: Path, contains: str
) -> Outcome:
    """Run `stde` and send it the signal `number` as soon as the file `once` contains a text."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stde_cli", *arguments],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for _ in range(3000):
            if process.poll() is not None or (once.exists() and contains in once.read_text()):
                break
            time.sleep(0.1)
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    return Outcome(process.returncode, out, err)
