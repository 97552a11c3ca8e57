import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from stde_cli.system.errors import UsageError


class Parser(argparse.ArgumentParser):
    """argparse, with faults reported as every other fault is."""

    def __init__(self, command: str, description: str):
        super().__init__(prog=f"stde {command}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(self.prog, None, message, f"see: {self.prog} --help")


def add_trust(parser: argparse.ArgumentParser) -> None:
    """The flag of commands that read a run, whose configuration may name anybody's code."""
    parser.add_argument(
        "--trust", action="store_true", help="run classes of others that the run's files name"
    )


def seed(text: str) -> int:
    """An argument type: a whole number that a key can be made from."""
    number = int(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 4294967295")
    return number


def positive(text: str) -> int:
    """An argument type: a whole number of 1 or more."""
    number = int(text)
    if not 1 <= number < 2**31:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 to 2147483647")
    return number


def whole(text: str) -> int:
    """An argument type: a whole number of 0 or more."""
    return 0 if text == "0" else positive(text)


def new_file(text: str) -> Path:
    """An argument type: where a file can be written."""
    path = Path(text)
    if not path.name or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text or 'an empty text'} is not the name of a file")
    return path


@contextmanager
def told_as(**names: str) -> Iterator[None]:
    """Faults of a function's arguments are told by the names that the command line has for them."""
    try:
        yield
    except UsageError as error:
        if error.where not in names:
            raise
        where = names[error.where]
        raise type(error)(where, error.value, error.why, error.mend, error.detail) from error
