from dataclasses import dataclass
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import pytest

from stde_cli.system.errors import RunFailed
from stde_cli.training.checkpoint import Checkpoints
from stde_cli.training.events import CheckLoss, Save, Speed, next_event
from stde_cli.training.loop import Chunk


def chunk(step: int, losses: list[float], seconds: float = 1.0) -> Chunk:
    state: Any = None
    return Chunk(state, step, np.array(losses), seconds)


@dataclass
class Due:
    every: int | None

    def __call__(self, chunk: Chunk) -> None:
        pass


@pytest.mark.parametrize(
    ("intervals", "step", "wanted"),
    [((10, 4, None), 0, 4), ((10, 4, None), 8, 10), ((10, 4), 10, 12), ((3,), 3, 6)],
)
def test_the_next_event_is_the_nearest(intervals, step: int, wanted: int) -> None:
    assert next_event([Due(every) for every in intervals], step) == wanted


def test_where_no_event_minds_there_is_one_some_day() -> None:
    assert next_event([Due(None)], 5) > 5


def test_the_step_that_turned_non_finite_is_named() -> None:
    checkpoints = create_autospec(Checkpoints, instance=True)
    checkpoints.kept.return_value = "checkpoint 4 is kept"
    check = CheckLoss(checkpoints)
    check(chunk(8, [1.0, 2.0]))
    with pytest.raises(RunFailed, match="not finite at step 10; checkpoint 4 is kept"):
        check(chunk(11, [1.0, np.nan, np.inf]))


def test_the_first_call_counts_only_alone() -> None:
    speed = Speed()
    assert speed.steps_per_second is None
    speed(chunk(1, [1.0], seconds=10.0))
    assert speed.steps_per_second == 0.1
    for step in (3, 5):
        speed(chunk(step, [1.0, 1.0], seconds=0.5))
    assert speed.steps_per_second == 4.0


@pytest.mark.parametrize(
    ("every", "minutes", "saved"), [(4, 1e9, [4, 8]), (None, 1e9, []), (None, 0.0, [2, 4, 6, 8])]
)
def test_saves_by_the_step_and_by_the_clock(every, minutes: float, saved: list[int]) -> None:
    checkpoints = create_autospec(Checkpoints, instance=True)
    save = Save(checkpoints, every=every, minutes=minutes)
    found = []
    for step in (2, 4, 6, 8):
        before = checkpoints.save.call_count
        save(chunk(step, [1.0, 1.0]))
        found += [step] * (checkpoints.save.call_count - before)
    assert found == saved
