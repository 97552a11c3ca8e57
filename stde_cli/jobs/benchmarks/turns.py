"""A group of cells, measured in turns: one computes at a time, and a busy machine slows them all.

Each has its process, which stays until all are done, compiled and warm. What does not fit beside
the others waits until they are done.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from stde_cli.jobs.benchmarks.cells import Cell
from stde_cli.jobs.benchmarks.child import Unmeasured
from stde_cli.jobs.benchmarks.status import MEASURED, OOM, REFUSED
from stde_cli.system.errors import UsageError

Row = dict[str, Any]


class Done(NamedTuple):
    row: Row
    refusal: UsageError | None = None
    """Of a cell whose configuration cannot be."""


@runtime_checkable
class Measuring(Protocol):
    """`child.Child`, or what stands for it."""

    doing: str
    seconds: float
    spare_bytes: int

    def turn(self, meanwhile: Callable[[], None], limit_seconds: float | None) -> Any: ...

    def close(self) -> None: ...


Start = Callable[[Cell, int], Measuring]
"""From a cell, and the bytes that others may take yet, to its measurement."""
Watch = Callable[[Cell, Measuring], Callable[[], None]]
"""Told of each turn; what it gives is called now and then while the turn goes on, and may raise."""


def measured(
    cells: Sequence[Cell], start: Start, watch: Watch, limit_seconds: float | None
) -> Iterator[Done]:
    """Each cell, as it is done.

    Args:
        limit_seconds: how long all turns of a cell may take together.
    """
    for cell in cells:
        if cell.refused:
            yield _refused(cell, cell.refused)
    waiting, before = [cell for cell in cells if not cell.refused], list[str]()
    while waiting:
        done = [cell.method for cell in waiting]
        waiting = yield from _side_by_side(waiting, start, watch, limit_seconds, before)
        left = [cell.method for cell in waiting]
        before += [method for method in done if method not in left]


def _side_by_side(
    cells: Sequence[Cell],
    start: Start,
    watch: Watch,
    limit_seconds: float | None,
    before: Sequence[str],
) -> Generator[Done, None, list[Cell]]:
    """The cells that fit beside each other; returns the others."""
    running: dict[Cell, Measuring] = {}
    left, interleaved = list[Cell](), list[str]()

    def turn(cell: Cell) -> Iterator[Done]:
        child = running[cell]
        try:
            figures = child.turn(watch(cell, child), limit_seconds)
        except UsageError as error:
            done = _refused(cell, error)
        except Unmeasured as unmeasured:
            done = _done(cell, status=unmeasured.status, note=unmeasured.note)
        else:
            if figures is None:
                return
            beside = [method for method in interleaved if method != cell.method]
            done = _measured(cell, figures, beside, before)
        del running[cell]
        child.close()
        if done.row["status"] == OOM and running:
            left.append(cell)
        else:
            yield done

    try:
        for cell in cells:
            taken = sum(child.spare_bytes for child in running.values())
            running[cell] = start(cell, taken)
            yield from turn(cell)
        interleaved += [cell.method for cell in running]
        while running:
            for cell in list(running):
                yield from turn(cell)
    finally:
        for child in running.values():
            child.close()
    return left


def _measured(cell: Cell, figures: Any, beside: Sequence[str], before: Sequence[str]) -> Done:
    found = figures._asdict()
    note = found.pop("note")
    if before:
        apart = f"measured after {', '.join(before)}: they do not fit side by side"
        note = f"{note}; {apart}" if note else apart
    return _done(cell, status=MEASURED, note=note, beside=list(beside), **found)


def _refused(cell: Cell, error: UsageError) -> Done:
    return Done(_done(cell, status=REFUSED, note=str(error)).row, error)


def _done(cell: Cell, *, status: str, note: str | None, **found: Any) -> Done:
    return Done(cell.described() | {"status": status} | found | {"note": note})
