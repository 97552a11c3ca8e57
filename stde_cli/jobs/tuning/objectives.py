"""What a study makes small: figures of a run's summary."""

from collections.abc import Sequence

from stde_cli.problem.pdes import AbstractPDE
from stde_cli.system.errors import UsageError

ERRORS = ("rel_l2_error", "rel_l1_error", "rel_error_at_point", "residual_rms", "loss")
COSTS = ("wall_seconds", "peak_memory_mb")
OBJECTIVES = (*ERRORS, *COSTS)

_KEY = "hydra.sweeper.objectives"


def objectives_for(
    asked: Sequence[str] | None, pde: AbstractPDE, *, reference: bool = False
) -> list[str]:
    """The objectives of a study; by default the error, or the loss where none is known.

    Args:
        asked: by the user.
        reference: a solver finds what the value at the point is held against.

    Raises:
        UsageError: one is unknown, given twice, or is known of no run of this PDE.
    """
    known = pde.solution is not None or pde.samples is not None
    at_point = pde.value_at is not None and (known or reference or pde.reference is not None)
    if asked is None:
        return ["rel_l2_error" if known else "rel_error_at_point" if at_point else "loss"]
    if not asked:
        raise UsageError(_KEY, "[]", "there is none", f"choose from {', '.join(OBJECTIVES)}")
    for name in asked:
        if name not in OBJECTIVES:
            raise UsageError(_KEY, name, "no such figure", f"choose from {', '.join(OBJECTIVES)}")
        if asked.count(name) > 1:
            raise UsageError(_KEY, name, "it is given twice", "give it once")
        if name in ("rel_l2_error", "rel_l1_error") and not known:
            mend = f"take {'rel_error_at_point' if at_point else 'loss'}"
            raise UsageError(_KEY, name, "this PDE has no exact solution to hold a run to", mend)
        if name == "rel_error_at_point" and not at_point:
            why = "nothing is known of u at a wanted point of this PDE"
            raise UsageError(_KEY, name, why, f"take {'rel_l2_error' if known else 'loss'}")
    return list(asked)
