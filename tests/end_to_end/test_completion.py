import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stde_cli.cli.completion import main
from tests.end_to_end.command import environment, in_process


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of runs and of a user's own files."""
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "config.yaml").touch()
    (tmp_path / "mine" / "pde").mkdir(parents=True)
    (tmp_path / "mine" / "pde" / "allowed.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("so", "solve"),
        ("--v", "--version"),
        ("solve pde=allen_cahn", "pde=allen_cahn pde=allen_cahn_1d pde=allen_cahn_bsde"),
        ("solve pde/solution=", "pde/solution=three_body pde/solution=two_body"),
        ("solve network.w", "network.width="),
        ("solve --config-dir m", ":directories"),
        ("solve --config-dir=m", ":directories"),
        (
            "solve --config-dir mine pde=al",
            "pde=allen_cahn pde=allen_cahn_1d pde=allen_cahn_bsde pde=allowed",
        ),
        (
            "solve -m dim=3 -cd mine pde=al",
            "pde=allen_cahn pde=allen_cahn_1d pde=allen_cahn_bsde pde=allowed",
        ),
        (
            "bench pde=al --config-dir=mine pde=al",
            "pde=allen_cahn pde=allen_cahn_1d pde=allen_cahn_bsde pde=allowed",
        ),
        (
            "solve --config-dir nowhere pde=al",
            "pde=allen_cahn pde=allen_cahn_1d pde=allen_cahn_bsde",
        ),
        ("solve --mu", "--multirun"),
        ("solve --cfg j", "job"),
        ("bench --cfg=j", "--cfg=job"),
        ("reference reference=pi", "reference=picard"),
        ("resume ru", "runs/one :directories"),
        ("resume --", "--help --trust"),
        ("evaluate ru", "runs/one :directories"),
        ("evaluate runs/one --points 9 --p", "--plot --points"),
        ("evaluate runs/one --points ", ""),
        ("evaluate runs/one --json f", ":files"),
        ("predict --points f", ":files"),
        ("predict --points=f", ":files"),
        ("predict --points file --out f", ":files"),
        ("predict --points file ru", "runs/one :directories"),
        ("predict runs/one --d", "--derivatives"),
        ("plan --co", "--coordinates"),
        ("plan u", ""),
        ("list so", "solution"),
        ("list --config-dir m", ":directories"),
        ("doctor ", ""),
        ("completion z", "zsh"),
        ("nonsense ", ""),
    ],
)
def test_words_that_complete_a_line(
    line: str, expected: str, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = in_process("_complete", f"stde {line}", capsys=capsys).check()
    assert asked.out.split() == expected.split()


COMPLETED_IN_BASH = [
    # bash breaks words at "=": it inserts what follows the last break.
    ("solve pde=po", ["poisson"], ""),
    ("resume ru", ["runs/one"], "plusdirs"),
    ("predict runs/one --points=fi", [], "default"),
]


def test_the_bash_script_completes_in_bash(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["bash"])
    script = [capsys.readouterr().out, 'compopt() { echo "option $2"; }']
    for line, _, _ in COMPLETED_IN_BASH:
        script += [
            f'COMP_LINE="stde {line}"; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=($COMP_LINE)',
            "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))",
            '_stde; printf "%s\\n" "${COMPREPLY[@]}" end',
        ]
    (directory / "stde").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stde_cli "$@"\n')
    (directory / "stde").chmod(0o755)
    env = environment()
    env["PATH"] = f"{directory}:{env['PATH']}"
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)], cwd=directory, env=env, capture_output=True, text=True
    )
    answers = [part.split() for part in done.stdout.split("end\n")[:-1]]
    expected = [
        [*(["option", option] if option else []), *words] for _, words, option in COMPLETED_IN_BASH
    ]
    assert answers == expected, done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_scripts_parse(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([shell])
    script = capsys.readouterr().out
    assert "stde _complete" in script
    if shutil.which(shell):
        (tmp_path / "script").write_text(script)
        subprocess.run([shell, "-n", "script"], cwd=tmp_path, check=True)
