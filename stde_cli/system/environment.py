"""What a run was made with."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path

import stde_cli

PACKAGES = ("jax", "jaxlib", "equinox", "optax", "numpy", "hydra-core", "orbax-checkpoint", "wandb")


def versions() -> dict[str, str]:
    """Versions of this program, Python and the libraries that shape a result."""
    found = {name: metadata.version(name) for name in PACKAGES}
    return {"stde": stde_cli.__version__, "python": platform.python_version(), **found}


def git_revision() -> str | None:
    """The revision of the checkout that the package runs from, if it is one."""
    root = Path(stde_cli.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
