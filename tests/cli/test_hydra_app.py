"""What Hydra is spared, and what it is not."""

from pathlib import Path

import pytest
from hydra._internal.hydra import Hydra

from stde_cli.cli.hydra_app import _composed_once
from stde_cli.config.composition import config_directory
from tests.end_to_end.command import in_process


@pytest.mark.parametrize(
    ("typed", "spared"),
    [
        ("", True),
        ("-m pde=wave,heat ~race.candidates.features", True),
        ("--multirun network.of=[x1,'2\n']", True),
        ("+experiment=mine", False),
        ("--config-dir mine pde=mine", False),
        ("dim=3 --config-dir=mine", False),
        ("-cn mine", False),
        ("hydra.searchpath=[file://mine]", False),
        ("hydra.mode=MULTIRUN", False),
        ("hydra/launcher=mine", False),
    ],
)
def test_hydra_looks_for_its_mode_where_a_file_of_the_users_may_set_it(
    typed: str, spared: bool
) -> None:
    before = Hydra.get_mode
    with _composed_once(typed.split(" ") if typed else []):
        assert (Hydra.get_mode is not before) == spared
    assert Hydra.get_mode is before


def test_no_group_of_ours_sets_it() -> None:
    files = list(Path(config_directory()).rglob("*.yaml"))
    assert files
    assert not [
        file
        for file in files
        if file.parent.name != "experiment" and "\nmode:" in file.read_text().replace(" ", "")
    ]


def test_a_file_of_the_users_may_ask_for_a_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {dim: '0,-1'}}}\n"
    )
    monkeypatch.chdir(tmp_path)
    typed = ("--config-dir", str(tmp_path), "+experiment=mine")
    refused = in_process("solve", *typed, capsys=capsys)
    assert "dim=0" in refused.err, refused
