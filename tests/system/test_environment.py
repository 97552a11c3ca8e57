"""What a run says of where it came from."""

import subprocess
from pathlib import Path

import pytest

import stde_cli
from stde_cli.system.environment import git_revision

ROOT = Path(stde_cli.__file__).resolve().parents[1]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_a_checkout_tells_its_revision() -> None:
    head = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    assert git_revision() == subprocess.check_output(head, text=True).strip()
