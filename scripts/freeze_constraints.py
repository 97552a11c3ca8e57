"""Write constraints.txt from the environments that the project supports.

usage: python scripts/freeze_constraints.py PYTHON [PYTHON ...]

Each PYTHON is the interpreter of an environment into which '.[dev]' was installed. A package whose
version differs between Python versions gets a line for each, with a marker.
"""

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

_NOT_PINNED = {"stde", "pip", "setuptools", "wheel"}


def frozen(python: str) -> tuple[str, dict[str, str]]:
    """The "3.x" of an interpreter, and the versions of what is installed for it."""
    version = "import sys; print('%d.%d' % sys.version_info[:2])"
    minor = _output([python, "-c", version]).strip()
    lines = _output([python, "-m", "pip", "list", "--format=freeze"]).splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    return minor, {name: pin for name, pin in pins.items() if name not in _NOT_PINNED}


def merged(environments: dict[str, dict[str, str]]) -> list[str]:
    """One line a package where all agree, otherwise one a Python version."""
    versions: dict[str, dict[str, str]] = defaultdict(dict)
    for minor, pins in environments.items():
        for name, pin in pins.items():
            versions[name][minor] = pin
    lines = []
    for name, by_minor in sorted(versions.items(), key=lambda item: item[0].lower()):
        if len(set(by_minor.values())) == 1:
            lines.append(f"{name}=={next(iter(by_minor.values()))}")
        else:
            lines += [
                f'{name}=={pin} ; python_version == "{minor}"'
                for minor, pin in sorted(by_minor.items())
            ]
    return lines


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    lines = merged(dict(frozen(python) for python in sys.argv[1:]))
    Path("constraints.txt").write_text("\n".join(lines) + "\n")
