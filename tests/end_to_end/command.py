"""The real command, as a process."""

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest import mock

import pytest

from stde_cli.cli.main import main, program

SMALL = (
    "dim=6",
    "steps=40",
    "network.width=8",
    "network.depth=2",
    "estimator.batch=3",
    "evaluation.points=200",
)
"""Overrides of a problem that trains in a moment."""

_LONGEST = 900
"""Seconds: against what hangs, not what is slow on a busy machine."""
_OFFLINE = {"WANDB_API_KEY": "", "NETRC": os.devnull, "JAX_PLATFORMS": "cpu"}
# Most tests solve the same small problem: compiled once, it serves them all.
_COMPILED_ONCE = {
    "JAX_COMPILATION_CACHE_DIR": str(Path(tempfile.gettempdir()) / f"stde-tests-{os.getuid()}"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
# So are the modules of Python, where it is told to leave nothing beside them.
if sys.dont_write_bytecode:
    _COMPILED_ONCE |= {
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / f"stde-bytecode-{os.getuid()}"),
    }


@dataclass
class Outcome:
    status: int
    out: str
    err: str

    def check(self) -> "Outcome":
        assert self.status == 0, f"status {self.status}\n{self.out}\n{self.err}"
        return self


AS_FOR_A_USER = {"XLA_FLAGS": ""}
"""Programs are compiled to be fast, not to be compiled quickly."""


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, **_OFFLINE, **_COMPILED_ONCE, **changes}


def stde(*arguments: str, cwd: Path) -> Outcome:
    """Run `stde` with `arguments` in `cwd` and wait for it."""
    with tempfile.TemporaryDirectory() as printed:
        process = _forked(arguments, cwd, Path(printed))
        return _outcome(process, Path(printed), timeout=_LONGEST)


def stde_side_by_side(*commands: tuple[str, ...], cwd: Path) -> list[Outcome]:
    """As `stde` for each of `commands`, all at once."""
    with tempfile.TemporaryDirectory() as printed:
        places = [Path(printed, str(number)) for number, _ in enumerate(commands)]
        for place in places:
            place.mkdir()
        pairs = zip(commands, places, strict=True)
        processes = [_forked(arguments, cwd, place) for arguments, place in pairs]
        ended = zip(processes, places, strict=True)
        return [_outcome(process, place, timeout=_LONGEST) for process, place in ended]


def stde_anew(
    *arguments: str, cwd: Path, env: dict[str, str] | None = None, within: tuple[str, ...] = ()
) -> Outcome:
    """As `stde`, from an interpreter of its own, in `env` and under the command `within`."""
    done = subprocess.run(
        [*within, sys.executable, "-m", "stde_cli", *arguments],
        cwd=cwd,
        env=env or environment(),
        capture_output=True,
        text=True,
        timeout=_LONGEST,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def in_process(*arguments: str, capsys: pytest.CaptureFixture[str]) -> Outcome:
    """As `stde`, without the seconds that a process takes to start.

    What a command leaves in the process is put back.
    """
    path, kept = list(sys.path), dict(os.environ)
    capsys.readouterr()
    # Its logging closes the handlers of others, and absl's then closes pytest's own stream.
    kept_open = mock.patch("absl.logging.PythonHandler.close")
    try:
        with kept_open:
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
    with tempfile.TemporaryDirectory() as printed:
        process = _forked(arguments, cwd, Path(printed))
        for _ in range(3000):
            if not process.is_alive() or (once.exists() and contains in once.read_text()):
                break
            time.sleep(0.1)
        assert process.pid
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)
        return _outcome(process, Path(printed), timeout=120)


# A process is forked from one that has imported what all of them import, which takes seconds, and
# has done no more: neither JAX's backend nor its threads are there yet.

_IMPORTED_ONCE = [__name__, "hydra._internal.hydra", "stde_cli.jobs.solve", "stde_cli.jobs.trained"]


def _forked(arguments: tuple[str, ...], cwd: Path, printed: Path) -> BaseProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED_ONCE)
    process = context.Process(target=_command, args=(arguments, cwd, printed))
    with mock.patch.dict(os.environ, environment()):
        process.start()
    return process


def _command(arguments: tuple[str, ...], cwd: Path, printed: Path) -> None:
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(printed / name, os.O_WRONLY | os.O_CREAT), descriptor)
    os.chdir(cwd)
    sys.argv = ["stde", *arguments]
    try:
        program()
    finally:
        atexit._run_exitfuncs()


def _outcome(process: BaseProcess, printed: Path, *, timeout: float) -> Outcome:
    process.join(timeout)
    status = process.exitcode
    process.kill()
    assert status is not None, f"not done within {timeout} s"
    return Outcome(status, (printed / "out").read_text(), (printed / "err").read_text())
