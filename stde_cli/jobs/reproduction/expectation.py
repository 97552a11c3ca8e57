"""How long a table will take, and what memory, before anything of it is run.

A rough model, held against one short measurement on this machine: a step's time is that of the
products of matrices that a method makes, a cell's memory that of its parameters and of the points
it moves. Within a factor of three or so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stde_cli.jobs.reproduction.cells import BENCH, Cell
from stde_cli.jobs.reproduction.tables import PaperTable, Scale, rows_at

_START_SECONDS = 12.0
"""Python, JAX, compiling."""
_PROGRAM_MB = 450.0
_TRAINING = 3
"""A backward pass costs about two forward ones."""
_COPIES_OF_PARAMETERS = 4
"""Weights, gradient and both moments of Adam's."""
_COPIES_OF_POINTS = 4


class _Work(NamedTuple):
    """Passes of one point through the whole network, and through what is behind its first layer.

    A number for each sampled direction, and a number for each dimension.
    """

    whole: float = 1
    whole_a_direction: float = 0
    whole_a_dimension: float = 0
    trunk_a_direction: float = 0


_RESTRICTED = _Work(trunk_a_direction=1.5)
_METHODS = {
    "stde": _RESTRICTED,
    "gpinn_stde": _Work(whole=3, trunk_a_direction=12),
    "forward_laplacian": _Work(whole_a_dimension=1.5),
    "exact": _Work(whole_a_dimension=1.5),
    "stde_unrestricted": _Work(whole_a_direction=3),
    "gpinn_jvp_hvp": _Work(whole_a_direction=12),
}
_NESTED = _Work(whole_a_direction=4)
"""What other methods do: a product with the Hessian for each direction."""


@dataclass(frozen=True)
class Expected:
    """Of one cell."""

    seconds: float
    memory_mb: float


class Expectation:
    """What a cell will take, by the multiplications that this machine makes in a second."""

    def __init__(self, table: PaperTable, scale: Scale, multiplications_per_second: float):
        self._scale, self._rate = scale, multiplications_per_second
        self._methods = {row.name: row.method for row in rows_at(table, scale)}

    def __call__(self, cell: Cell) -> Expected:
        sizes = _sizes(cell.command)
        method = self._methods[cell.row]
        step = multiplications(method, sizes) / self._rate
        work = _METHODS.get(method, _NESTED)
        if cell.kind == BENCH:
            blocks, block_seconds = sizes["bench.blocks"], sizes["bench.block_seconds"]
            seconds = _START_SECONDS + 3 * step + (blocks + 1) * max(step, block_seconds)
        else:
            evaluation = 12 * sizes["evaluation.points"] / sizes["train.points"]
            network_step = multiplications("network", sizes) / self._rate
            seconds = _START_SECONDS + sizes["steps"] * step + evaluation * network_step
        limit = self._scale.cell_seconds
        copies = _COPIES_OF_POINTS
        if work.whole_a_direction or work.whole_a_dimension:
            copies += 2 * sizes["estimator.batch"] / 16
        points = sizes["train.points"] * sizes["dim"] * copies
        parameters = _COPIES_OF_PARAMETERS * _first_layer(sizes)
        memory = _PROGRAM_MB + 4 * (points + parameters) / 1e6
        return Expected(seconds if limit is None else min(seconds, limit), memory)


def multiplications(method: str, sizes: dict[str, float]) -> float:
    """Of a whole training step."""
    work = _METHODS.get(method, _NESTED) if method != "network" else _Work()
    batch, dim = sizes["estimator.batch"], sizes["dim"]
    trunk = max(0, sizes["network.depth"] - 2) * sizes["network.width"] ** 2
    whole = work.whole + work.whole_a_direction * batch + work.whole_a_dimension * dim
    passes = whole * (_first_layer(sizes) + trunk) + work.trunk_a_direction * batch * trunk
    return _TRAINING * sizes["train.points"] * passes


def _first_layer(sizes: dict[str, float]) -> float:
    return sizes["dim"] / sizes["network.block_size"] * sizes["network.width"]


def _sizes(command: Sequence[str]) -> dict[str, float]:
    """The numbers that a cell's time depends on, as its command sets them."""
    found: dict[str, float] = {
        "dim": 1000,
        "steps": 10_000,
        "train.points": 100,
        "evaluation.points": 20_000,
        "estimator.batch": 16,
        "network.width": 128,
        "network.depth": 4,
        "network.block_size": 1,
        "bench.blocks": 7,
        "bench.block_seconds": 2,
    }
    for override in command:
        key, _, value = override.partition("=")
        if key in found:
            found[key] = float(value)
    return found


def reference_sizes() -> dict[str, float]:
    """Those of the measurement that the model is held against."""
    return _sizes(REFERENCE)


REFERENCE = (
    "bench",
    "bench.methods=[stde]",
    "pde=allen_cahn",
    "dim=1000",
    "bench.blocks=2",
    "bench.block_seconds=0.5",
)
"""A measurement of some ten seconds."""
