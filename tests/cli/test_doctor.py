from importlib import util

import pytest

from stde_cli.cli import doctor


def test_without_the_extra_for_sweeps_it_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = util.find_spec

    def without(name: str, package: str | None = None):
        return None if name.startswith("hydra_plugins.hydra_joblib") else found(name, package)

    monkeypatch.setattr(util, "find_spec", without)
    assert doctor.main([]) == 0
    assert "pip install 'stde[sweep]'" in capsys.readouterr().out
