"""Every command in README.md and docs/ is run, in order, each section in a directory of its own.

Pages mark what is to be done in the fence's info string: `sh` is run, its runs in two steps here
and as they are written by the slow tests, `sh slow` is run by the slow tests, `sh hours` is too,
but each run of it takes two steps, `sh elsewhere` needs what a test does not have and is only
parsed; `file=PATH` names the file that a block is written to. Blocks of `python` without a file are
run as well, in this process, those of a page with the same names.
"""

import os
import re
import shlex
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.command import AS_FOR_A_USER, environment, stde

IN_LITTLE = "steps=2 seed=0 evaluation.points=20 evaluation.monitor_points=20"
ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sections(kind: str) -> list[Any]:
    """The parts of all pages, from one `##` to the next, that have a block of this `kind`.

    A page of Python stays whole: its blocks share their names.
    """
    found = []
    for page in PAGES:
        text = page.read_text()
        whole = "python" in kinds(text)
        for part in [text] if whole else re.split(r"^(?=## )", text, flags=re.MULTILINE):
            title = part.partition("\n")[0].lstrip("# ")
            if kind in kinds(part) or (whole and kind == "sh"):
                found.append(pytest.param(part, id=f"{page.name}, {title}"))
    return found


def kinds(text: str) -> set[str]:
    return {f"{language}{info}".strip() for language, info, _ in FENCE.findall(text)}


def run_section(section: str, where: Path, kind: str, overrides: str | None = None) -> None:
    """Run the blocks of `section` whose info string is `kind`.

    As they are written, compiled as for a user; or with `overrides` added to each `stde solve`, and
    little effort in compiling.
    """
    (where / "scripts").symlink_to(ROOT / "scripts")
    names = {}
    for language, info, text in FENCE.findall(section):
        named = re.search(r"file=(\S+)", info)
        if named:
            file = where / named[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        elif kind == "sh" and f"{language}{info}".strip() == "python":
            with chdir(where):
                exec(compile(text, "page", "exec"), names)
        elif f"{language}{info}".strip() == kind:
            for command in text.splitlines():
                if command and not is_installation(command):
                    run_command(command, where, overrides)


def run_command(command: str, where: Path, overrides: str | None) -> None:
    if overrides is not None and command.startswith("stde solve"):
        command = f"{command} {overrides}"
    if overrides is not None and is_plain(command):
        stde(*shlex.split(command)[1:], cwd=where).check()
        return
    env = environment(**({} if overrides is not None else AS_FOR_A_USER))
    env["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), env["PATH"]))
    shell = ["bash", "-c", f"set -e; {command}"]
    done = subprocess.run(shell, cwd=where, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def is_plain(command: str) -> bool:
    """Whether a shell would do no more than start `stde`."""
    return re.fullmatch(r"stde [^|&;<>$`#~]*", command) is not None


def is_installation(command: str) -> bool:
    """Commands that make an environment: the wheel's test and `make test` itself run their like."""
    return command.startswith(("python3 -m venv", "pip install"))


@pytest.mark.parametrize("section", sections("sh"))
def test_commands_run(section: str, tmp_path: Path) -> None:
    run_section(section, tmp_path, "sh", IN_LITTLE)


@pytest.mark.slow
@pytest.mark.parametrize("section", sections("sh"))
def test_commands_run_as_written(section: str, tmp_path: Path) -> None:
    run_section(section, tmp_path, "sh")


@pytest.mark.slow
@pytest.mark.parametrize("section", sections("sh slow"))
def test_slow_commands_run(section: str, tmp_path: Path) -> None:
    run_section(section, tmp_path, "sh slow")


@pytest.mark.slow
@pytest.mark.parametrize("section", sections("sh hours"))
def test_commands_of_hours_run_in_little(section: str, tmp_path: Path) -> None:
    run_section(section, tmp_path, "sh hours", IN_LITTLE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_fences_are_of_a_known_kind_and_links_lead_somewhere(page: Path) -> None:
    for language, info, text in FENCE.findall(page.read_text()):
        assert language in ("sh", "python", "yaml", "text", "json"), language
        assert info.strip() in ("", "slow", "hours", "elsewhere") or "file=" in info
        if language == "sh":
            subprocess.run(["bash", "-n", "-c", text], check=True)
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_make_targets_of_the_readme_exist() -> None:
    targets = re.findall(r"^    make ([\w-]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert targets[:2] == ["solve", "test"]
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_the_image_has_what_the_checkout_has() -> None:
    """No container engine here: what the Dockerfile copies must exist and not be ignored."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copied = [
        word for line in re.findall(r"^COPY (.*)$", dockerfile, re.M) for word in line.split()[:-1]
    ]
    assert copied
    for name in copied:
        assert (ROOT / name).exists()
        assert name in allowed
    assert re.search(r"^USER (?!root)", dockerfile, re.MULTILINE)
    assert 'ENTRYPOINT ["stde"]' in dockerfile
    assert dockerfile.startswith("#")
    assert "FROM nvidia/cuda" in dockerfile
