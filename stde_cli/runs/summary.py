"""What became of a run: the record that is kept as summary.json."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pydantic import TypeAdapter

RUNNING, FINISHED, INTERRUPTED, FAILED = "running", "finished", "interrupted", "failed"
PRUNED = "pruned"
"""Ended by the study that it is a trial of."""


@dataclass
class Summary:
    """A figure is None until it is known, and where there is none."""

    status: str
    """running, finished, interrupted, failed or pruned."""
    command: str = ""
    run_dir: str = ""
    pde: str | None = None
    solution: str | None = None
    dim: int = 0
    seed: int = 0
    steps: int = 0
    """Taken so far."""
    steps_planned: int = 0
    loss: float | None = None
    rel_l1_error: float | None = None
    rel_l2_error: float | None = None
    trivial_rel_l2_error: float | None = None
    errors_against: str | None = None
    """What these are measured against, where it is not the exact solution."""
    solution_error: float | None = None
    """Of that, relative: an error below it is none of the run's."""
    residual_rms: float | None = None
    value_at_point: float | None = None
    """u at the point where the PDE wants it."""
    reference_at_point: float | None = None
    rel_error_at_point: float | None = None
    steps_per_second: float | None = None
    """Of the steady state, after the first call."""
    compile_seconds: float | None = None
    wall_seconds: float = 0.0
    """Of all the times that the run was at work."""
    save_seconds: float | None = None
    """The longest that a checkpoint took."""
    chosen: str | None = None
    """The candidate that won the race, where there was one."""
    candidates: dict[str, float | None] | None = None
    """What each left of the residual."""
    failure: str | None = None
    """What a run that failed said."""
    peak_memory_mb: float | None = None
    parameters: int | None = None
    device: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    git_revision: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> "Summary":
        """From what a run kept; what another version kept beside it is passed over.

        Raises:
            ValidationError: a value is of another type.
        """
        known = {each.name for each in fields(cls)}
        kept = {key: value for key, value in found.items() if key in known}
        return TypeAdapter(cls).validate_python(kept)
