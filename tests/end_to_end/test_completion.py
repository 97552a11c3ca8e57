import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.command import environment, stde


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("stde so", {"solve"}),
        ("stde solve pde=al", {"pde=allen_cahn"}),
        ("stde solve pde/solution=", {"pde/solution=three_body", "pde/solution=two_body"}),
        ("stde solve network.w", {"network.width="}),
        ("stde completion z", {"zsh"}),
        ("stde nonsense ", set()),
    ],
)
def test_words_that_complete_a_line(line: str, expected: set[str], tmp_path: Path) -> None:
    words = stde("_complete", line, cwd=tmp_path).check().out.split()
    assert set(words) == expected


def test_run_directories_complete(finished_run: Path) -> None:
    """Only what lies under runs/, as the commands print it."""
    where = finished_run.parent
    (where / "runs").mkdir(exist_ok=True)
    shutil.copytree(finished_run, where / "runs" / "one", dirs_exist_ok=True)
    assert stde("_complete", "stde resume ru", cwd=where).check().out.split() == ["runs/one"]


def test_the_bash_script_completes_in_bash(tmp_path: Path) -> None:
    script = stde("completion", "bash", cwd=tmp_path).check().out
    (tmp_path / "stde").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stde_cli "$@"\n')
    (tmp_path / "stde").chmod(0o755)
    ask = (
        f"{script}\n"
        'COMP_LINE="stde solve pde=po"; COMP_POINT=${#COMP_LINE}\n'
        '_stde 2>/dev/null; printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    env = environment()
    env["PATH"] = f"{tmp_path}:{env['PATH']}"
    bash = ["bash", "-c", ask]
    done = subprocess.run(bash, cwd=tmp_path, env=env, capture_output=True, text=True)
    # bash breaks words at "=": it inserts what follows the last break.
    assert done.stdout.split() == ["poisson"], done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_scripts_parse(shell: str, tmp_path: Path) -> None:
    script = stde("completion", shell, cwd=tmp_path).check().out
    assert "stde _complete" in script
    if shutil.which(shell):
        (tmp_path / "script").write_text(script)
        subprocess.run([shell, "-n", "script"], cwd=tmp_path, check=True)
