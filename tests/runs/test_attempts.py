from pathlib import Path

import pytest

from stde_cli.runs.attempts import Attempt, Attempts, futile, preempted


def attempt(from_step: int, how: str | None, step: int | None = None, by: str = "") -> Attempt:
    return Attempt(0.0, from_step, job="7", how=how, step=step, by=by)


@pytest.mark.parametrize(
    ("attempts", "newest", "why"),
    [
        ([], 0, None),
        ([attempt(0, None)], 0, None),
        # Killed twice ahead of the first save: of memory, say.
        ([attempt(0, None), attempt(0, None)], 0, "without a save beyond step 0"),
        ([attempt(0, None), attempt(0, None)], 50, None),
        # Preempted again and again, and further each time.
        ([attempt(0, "requeued", 50), attempt(50, "requeued", 90)], 90, None),
        ([attempt(50, "requeued", 50), attempt(50, "requeued", 50)], 50, "beyond step 50"),
        # Not finite at step 57, from checkpoint 50 too.
        ([attempt(0, "failed", 57), attempt(50, "failed", 57)], 50, "failed twice at step 57"),
        ([attempt(0, "failed", 57), attempt(50, "failed", 63)], 50, None),
        # What a person ends tells nothing of the run.
        ([attempt(0, "cancelled", 0), attempt(0, "interrupted", 0, "SIGINT")], 0, None),
    ],
)
def test_what_is_not_tried_a_third_time(
    attempts: list[Attempt], newest: int, why: str | None
) -> None:
    found = futile(attempts, newest)
    assert (found is None) if why is None else (found is not None and why in found)


def test_the_record_is_kept(tmp_path: Path) -> None:
    record = Attempts(tmp_path)
    record.begin(0, "7_1", "n1")
    record.end("interrupted", 50, by="SIGTERM", saved=0.5)
    record.end_otherwise("requeued")
    Attempts(tmp_path).begin(50, "7_1", "n2")
    first, second = Attempts(tmp_path).all
    assert (first.how, first.step, first.by, first.seconds_to_save) == (
        "requeued",
        50,
        "SIGTERM",
        0.5,
    )
    assert (second.from_step, second.node, second.how) == (50, "n2", None)
    assert preempted([first, second]) == 1


def test_a_record_that_is_damaged_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "attempts.json").write_text('[{"begun":')
    assert Attempts(tmp_path).all == []
