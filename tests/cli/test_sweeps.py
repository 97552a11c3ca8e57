import pytest
from hydra.core.utils import JobReturn, JobStatus

from stde_cli.cli import sweeps
from stde_cli.system.errors import UsageError


def test_outside_a_sweep_an_error_is_the_commands_own() -> None:
    error = UsageError("dim", 0, "must be 1 or more")
    job = JobReturn(_return_value=error, status=JobStatus.FAILED)
    with pytest.raises(UsageError) as raised, sweeps.told_together():
        _ = job.return_value
    assert raised.value is error
