"""What a race says of a candidate, whatever it costs to prepare one."""

from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import DictConfig

from stde_cli.config.variants import Candidate
from stde_cli.jobs import race
from stde_cli.jobs.race import _Heats


@pytest.mark.parametrize(
    ("judged", "left", "solved"),
    [([1e-8], 1e-8, True), ([1.0, 1e-8], 1e-8, False), ([1.0, float("nan")], float("inf"), False)],
    ids=["by its start", "by its steps", "by nothing"],
)
def test_what_is_learned_is_none_of_the_start(
    judged: list[float], left: float, solved: bool, monkeypatch
) -> None:
    nothing: Any = SimpleNamespace(state=None)
    for name in ("planned", "prepared"):
        monkeypatch.setattr(race, name, lambda *_, **__: nothing)
    heats: Any = object.__new__(_Heats)
    heats._race, heats._run = SimpleNamespace(enough=1e-3), nothing
    heats._console = SimpleNamespace(stage=lambda _: None)
    monkeypatch.setattr(heats, "_trained", lambda *_: None)
    monkeypatch.setattr(heats, "_judged", lambda *_: judged.pop(0))
    heat = heats._tried(Candidate("one", DictConfig({}), 3))
    assert (heat.left, heat.solved) == (left, solved)
