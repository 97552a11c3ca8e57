"""stde reference: the value that a PDE asks for at a point, by a solver that is no network."""

import math
import sys
from pathlib import Path

from omegaconf import DictConfig

from stde_cli.cli import hydra_app
from stde_cli.config.build import configured_jax
from stde_cli.config.validate import validate
from stde_cli.jobs.reference import Found, find_reference
from stde_cli.system.errors import Interrupted, UsageError
from stde_cli.system.files import json_text, write_atomically
from stde_cli.system.interrupts import Interrupts


def main(arguments: list[str]) -> int:
    return hydra_app.run("reference", arguments, task)


def task(config: DictConfig) -> None:
    """Find the value, print it, and write it to `reference.out`."""
    validate(config)
    if config.reference.method == "none":
        raise UsageError("reference.method", "none", "there is nothing to do", "take auto")
    out = None if config.reference.out is None else Path(config.reference.out)
    if out is not None and not out.absolute().parent.is_dir():
        raise UsageError("reference.out", out, "its directory is not there")
    with Interrupts() as interrupts, configured_jax(config):

        def between() -> None:
            if signal := interrupts.received:
                raise Interrupted(f"stopped by {signal.name}: nothing was found yet", signal)

        found = find_reference(config, between)
    _print(config, found)
    if out is not None:
        try:
            write_atomically(out, json_text(found.reference._asdict(), indent=2) + "\n")
        except OSError as error:
            why = f"cannot be written ({error.strerror})"
            raise UsageError("reference.out", out, why) from error


def _print(config: DictConfig, found: Found) -> None:
    value, error, method, seconds = found.reference
    # Two digits more than the error leaves certain.
    digits = max(0, min(14, 2 - math.floor(math.log10(max(error, 1e-300)))))
    print(f"value    {value:.{digits}f}")
    print(f"error    {error:.1e}")
    print(f"method   {method}")
    print(f"seconds  {seconds:.1f}{' (found before)' if found.cached else ''}")
    wanted = config.reference.error
    if wanted is not None and error > wanted * max(1.0, abs(value)):
        told = f"reference.error={wanted:g} is not reached; give reference.seconds more"
        print(f"stde: warning: {told}", file=sys.stderr)
