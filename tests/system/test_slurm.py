import pytest

from stde_cli.system.slurm import Queued, listed, parse_queue, seconds, this_job


def test_outside_of_slurm_there_is_no_job() -> None:
    assert this_job({}) is None


def test_a_job_is_named_as_squeue_has_it() -> None:
    environment = {"SLURM_JOB_ID": "41", "SLURMD_NODENAME": "n1"}
    alone = this_job(environment)
    assert alone is not None
    assert (alone.name, alone.task, alone.restarts, alone.node) == ("41", None, 0, "n1")
    array = {"SLURM_ARRAY_JOB_ID": "40", "SLURM_ARRAY_TASK_ID": "3", "SLURM_RESTART_COUNT": "2"}
    one = this_job(environment | array)
    assert one is not None
    assert (one.name, one.task, one.restarts) == ("40_3", 3, 2)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0:09", 9),
        ("12:34", 754),
        ("1:00:00", 3600),
        ("2-00:00:01", 172801),
        ("UNLIMITED", None),
        ("INVALID", None),
        ("", None),
    ],
)
def test_times_are_read(text: str, found: float | None) -> None:
    assert seconds(text) == found


def test_a_queue_is_read() -> None:
    text = "7_0|RUNNING|None|n1|9:59\n7_1|PENDING|Resources||10:00\n8|RUNNING|None|n2|1:00"
    assert parse_queue(text) == [
        Queued(0, "RUNNING", "", "n1", 599),
        Queued(1, "PENDING", "Resources", "", 600),
    ]


def test_an_array_is_of_ranges() -> None:
    assert listed([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"
    assert listed([4]) == "4"
