"""A process of its own for each method, so that its peak memory is that of this method alone."""

import signal
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import jax
from omegaconf import DictConfig, OmegaConf

from stde_cli.config.build import configured_jax, refusing
from stde_cli.system.errors import DoesNotFit, StdeError

Figures = TypeVar("Figures")
Report = Callable[[str], None]
"""Shown to the user while a measurement goes on."""


class Unmeasured(Exception):
    """A method cannot be measured, the others may: its row says why."""


def in_child(
    measure: Callable[[DictConfig, Report], Figures], config: DictConfig, report: Report
) -> Figures:
    """`measure(config, report)`, in another process.

    Raises:
        Unmeasured: the method does not fit this machine, or its process died.
        StdeError: what `measure` raises.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    settings = OmegaConf.to_container(config, resolve=True)
    child = context.Process(target=_child, args=(measure, settings, theirs))
    child.start()
    theirs.close()
    try:
        while isinstance(received := ours.recv(), str):
            report(received)
    except EOFError:
        child.join()
        why = f"ended with status {child.exitcode}; -9 is the kernel's, out of memory"
        raise Unmeasured(why) from None
    except BaseException:
        child.terminate()
        raise
    finally:
        child.join()
    if isinstance(received, Exception):
        raise received
    return received


def _child(measure: Callable[..., Any], settings: dict[str, Any], pipe: Connection) -> None:
    # An interrupt is the parent's to handle: it ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        config = OmegaConf.create(settings)
        with configured_jax(config), refusing(config):
            pipe.send(measure(config, pipe.send))
    except DoesNotFit as error:
        pipe.send(Unmeasured(str(error)))
    except (StdeError, Unmeasured) as error:
        pipe.send(error)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        pipe.send(Unmeasured((str(error) or "out of memory").splitlines()[0]))
