"""`stde COMMAND ...`: find the command, run it, turn its errors into one line and a status."""

import importlib
import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from stde_cli import __version__
from stde_cli.system.errors import Interrupted, StdeError, Unexpected, UsageError
from stde_cli.system.interrupts import SIGNALS
from stde_cli.system.slurm import WARNINGS, this_job

COMMANDS = {
    "solve": "train one PDE; -m sweeps over several values",
    "resume": "go on with an interrupted run, or train a finished one further",
    "runs": "the runs there are, and what became of them",
    "status": "each job of a sweep, here or on Slurm",
    "evaluate": "errors and residual of a run on fresh points",
    "report": "runs side by side: a table, and a page with pictures",
    "upload": "what was logged to wandb offline, handed to its server",
    "predict": "u and its derivatives at your points",
    "export": "the trained field as a file that JAX alone can load",
    "reference": "the value that a PDE asks for at a point, by a solver that is no network",
    "plan": "how the derivatives in an expression are computed, and at what cost",
    "bench": "methods side by side: speed and memory, or time to an error",
    "reproduce": "a table of the paper, filled on this machine",
    "list": "the PDEs, networks, estimators, optimizers ... that can be chosen",
    "doctor": "devices, memory, versions: what would stop a run",
    "completion": "the tab completion of bash, zsh or fish",
}

_HIDDEN = {"_complete": "completion", "_job": "job"}
"""Commands that shells and schedulers give."""

_INTERRUPTED = tuple(128 + number for number in SIGNALS)
"""The statuses of a process that a signal ends."""

_HELP = """\
Solve high-dimensional and high-order PDEs by the Stochastic Taylor Derivative Estimator.

usage: stde COMMAND [arguments]

{commands}

  stde solve pde=allen_cahn dim=100000 steps=50
  stde solve -m seed=0,1,2 optimizer.learning_rate=1e-3,3e-4
  stde COMMAND --help
"""


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        lines = (f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
        print(_HELP.format(commands="\n".join(lines)), end="")
        return 0
    if arguments[0] == "--version":
        print(f"stde {__version__}")
        return 0
    try:
        return _run(arguments[0], arguments[1:])
    except StdeError as error:
        if error.__cause__ is not None and _wants_tracebacks():
            traceback.print_exception(error)
        return _fail(str(error), error.status, error.detail)
    except KeyboardInterrupt as error:
        cause = error.__cause__
        status = cause.status if isinstance(cause, Interrupted) else 130
        return _fail(str(cause or "interrupted"), status)
    except BrokenPipeError:
        # The reader of a pipe left, as `| head` does.
        sys.stderr.close()
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", 2)
    except Exception as error:
        if _wants_tracebacks():
            raise
        return _fail(str(Unexpected(error)), Unexpected.status)


def _wants_tracebacks() -> bool:
    return any(map(os.environ.get, ("STDE_TRACEBACK", "HYDRA_FULL_ERROR")))


def program() -> NoReturn:
    """`main` as a process of its own."""
    # Processes that a sweep starts with python -m would look in their directory first.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    if sys.argv[1:2] in (["solve"], ["resume"], ["_job"]) and this_job() is not None:
        # Imports take seconds, in which a job may be told to go: kept back until `Interrupts`.
        signal.pthread_sigmask(signal.SIG_BLOCK, WARNINGS)
    status = main()
    # Not where jobs were sent to processes: joblib has semaphores to give back.
    if status in _INTERRUPTED and "joblib" not in sys.modules:
        # A computation that was left goes on in XLA's threads: Python would wait for its end.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # The terminal may be gone.
                stream.flush()
        os._exit(status)
    sys.exit(status)


def _run(name: str, arguments: list[str]) -> int:
    if name in _HIDDEN:
        module = _HIDDEN[name]
    elif name in COMMANDS:
        module = name
    else:
        import difflib

        near = difflib.get_close_matches(name, COMMANDS, n=1)
        mend = f"did you mean {near[0]}?" if near else "see: stde --help"
        raise UsageError(name, None, "no such command", mend)
    look_for_classes_in(Path.cwd())
    # Each command imports what it needs, and only when it is asked for.
    command = importlib.import_module(f"stde_cli.cli.{module}")
    return (command.complete if name == "_complete" else command.main)(arguments)


def look_for_classes_in(directory: Path) -> None:
    """A class of the user's own, named by _target_, may lie where the command is given.

    Looked for last: a random.py of the user's never stands for Python's.
    """
    if str(directory) not in sys.path:
        sys.path.append(str(directory))


def _fail(message: str, status: int, detail: str = "") -> int:
    with suppress(OSError):  # The terminal may be gone.
        print(f"stde: {' '.join(message.split())}", file=sys.stderr)
        if detail:
            print(detail, file=sys.stderr)
    return status
