"""How long a table will take, and what memory, before anything of it is run.

A rough model, held against one short measurement on this machine: a step's time is that of the
products of matrices that a method makes, and of drawing points and computing the source at them; a
cell's memory that of its parameters and of the arrays it holds at once. Within a factor of three or
so of what cells of tables 1 and 10 took on two cores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stde_cli.jobs.reproduction.cells import BENCH, Cell
from stde_cli.jobs.reproduction.tables import PaperTable, Scale, rows_at

START_SECONDS = 12.0
"""Python, JAX, compiling."""
_PROGRAM_MB = 550.0
_TRAINING = 3
"""A backward pass costs about two forward ones."""
_COPIES_OF_PARAMETERS = 4
"""Weights, gradient and both moments of Adam's."""
_COPIES_OF_POINTS = 4
_A_COORDINATE = 250
"""What drawing a coordinate of a point and its share of the source cost, in multiplications."""


class _Work(NamedTuple):
    """Passes of one point through the whole network, and through what is behind its first layer.

    A number for each sampled direction, and a number for each dimension. Then what is held in
    memory: arrays of the points' size for each direction, and of a point's hidden layer for each
    dimension.
    """

    whole: float = 1
    whole_a_direction: float = 0
    trunk_a_direction: float = 0
    trunk_a_dimension: float = 0
    points_a_direction: float = 0
    layers_a_dimension: float = 0


_EXACT = _Work(trunk_a_dimension=3, layers_a_dimension=13)
_METHODS = {
    "stde": _Work(trunk_a_direction=1.5),
    "gpinn_stde": _Work(whole=3, trunk_a_direction=12),
    "forward_laplacian": _EXACT,
    "exact": _EXACT,
    "stde_unrestricted": _Work(whole_a_direction=1, trunk_a_direction=2, points_a_direction=2.5),
    "sdgd_backward_scan": _Work(whole_a_direction=4),
    "gpinn_jvp_hvp": _Work(whole_a_direction=12, points_a_direction=5),
}
_NESTED = _Work(whole_a_direction=4, points_a_direction=5)
"""What other methods do: a product with the Hessian for each direction, all of them at once."""


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
        sizes, method = _sizes(cell.command), self._methods[cell.row]
        seconds, limit = self._seconds(cell, method, sizes), self._scale.cell_seconds
        return Expected(seconds if limit is None else min(seconds, limit), _memory(method, sizes))

    def _seconds(self, cell: Cell, method: str, sizes: dict[str, float]) -> float:
        step = multiplications(method, sizes) / self._rate
        if cell.kind == BENCH:
            blocks, block_seconds = sizes["bench.blocks"], sizes["bench.block_seconds"]
            return START_SECONDS + 3 * step + (blocks + 1) * max(step, block_seconds)
        evaluation = 12 * sizes["evaluation.points"] / sizes["train.points"]
        network_step = multiplications("network", sizes) / self._rate
        return START_SECONDS + sizes["steps"] * step + evaluation * network_step


def multiplications(method: str, sizes: dict[str, float]) -> float:
    """Of a whole training step."""
    work = _METHODS.get(method, _NESTED) if method != "network" else _Work()
    batch, dim = sizes["estimator.batch"], sizes["dim"]
    trunk = max(0, sizes["network.depth"] - 2) * sizes["network.width"] ** 2
    passes = (work.whole + work.whole_a_direction * batch) * (_first_layer(sizes) + trunk)
    passes += (work.trunk_a_direction * batch + work.trunk_a_dimension * dim) * trunk
    return _TRAINING * sizes["train.points"] * (passes + _A_COORDINATE * dim)


def _memory(method: str, sizes: dict[str, float]) -> float:
    """MB that its process holds at most."""
    work = _METHODS.get(method, _NESTED)
    copies = _COPIES_OF_POINTS + work.points_a_direction * sizes["estimator.batch"]
    copies += work.layers_a_dimension * sizes["network.width"]
    numbers = copies * sizes["train.points"] * sizes["dim"]
    return _PROGRAM_MB + 4 * (numbers + _COPIES_OF_PARAMETERS * _first_layer(sizes)) / 1e6


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
