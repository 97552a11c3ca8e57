"""A run read back: its trained ansatz, ready to be evaluated."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from omegaconf import DictConfig

from stde_cli.ansatz import HardConstraint
from stde_cli.config import saved
from stde_cli.config.build import Built, abstract_state, build, configure_jax
from stde_cli.errors import UsageError
from stde_cli.estimators import Exact
from stde_cli.operators import AbstractOperator, Laplacian, Partial
from stde_cli.runs import RunDirectory
from stde_cli.training.checkpoint import Checkpoints

_BATCH_NUMBERS = 10_000_000
_LARGEST_BATCH = 1_000


class Trained(NamedTuple):
    """A run's configuration and its ansatz at the newest checkpoint."""

    config: DictConfig
    built: Built
    ansatz: HardConstraint
    step: int


def load(run: RunDirectory) -> Trained:
    """Read the newest checkpoint of `run`.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    config = saved.load(run)
    configure_jax(config)
    checkpoints = Checkpoints(run.checkpoints, config.checkpoint.keep)
    try:
        state = checkpoints.restore(abstract_state(config))
    finally:
        checkpoints.close()
    built = build(config)
    return Trained(config, built, state.ansatz, int(state.step))


def parse_derivatives(names: Sequence[str], dim: int) -> dict[str, AbstractOperator]:
    """Operators by name: "laplacian", or a partial such as "u_x3" or "u_x1x1x2".

    Coordinates are counted from 1, as in the formulas: x1 is the first column of the points.

    Raises:
        UsageError: a name is neither, or a coordinate is not there.
    """
    operators: dict[str, AbstractOperator] = {}
    for name in names:
        if name == "laplacian":
            operators[name] = Laplacian()
            continue
        if not re.fullmatch(r"u_(x[0-9]+)+", name):
            mend = "write laplacian, or partials such as u_x3 and u_x1x1"
            raise UsageError("--derivatives", name, "unknown derivative", mend)
        coordinates = [int(digits) for digits in re.findall(r"x([0-9]+)", name)]
        for coordinate in coordinates:
            if not 1 <= coordinate <= dim:
                raise UsageError(
                    "--derivatives",
                    name,
                    f"there is no x{coordinate}",
                    f"they go from x1 to x{dim}",
                )
        operators[name] = Partial(tuple(c - 1 for c in coordinates))
    return operators


class Predictor:
    """u and derivatives of a trained ansatz at `count` points, a batch at a time, compiled once.

    Attributes:
        columns: the names of the values, in order.
        batch: how many points `__call__` takes at most.
    """

    def __init__(
        self,
        ansatz: HardConstraint,
        operators: dict[str, AbstractOperator],
        dim: int,
        count: int,
    ):
        self.columns = ("u", *operators)
        self.batch = max(1, min(_LARGEST_BATCH, _BATCH_NUMBERS // dim, count))
        exact = Exact()

        def at(ansatz: HardConstraint, x: jax.Array) -> jax.Array:
            u, derivatives = exact(ansatz, operators, x, None)
            return jnp.stack([u, *(derivatives[name] for name in operators)])

        self._ansatz = ansatz
        self._evaluate = eqx.filter_jit(jax.vmap(at, in_axes=(None, 0)))

    def __call__(
        self, points: Float[np.ndarray, "points dim"]
    ) -> Float[np.ndarray, "points columns"]:
        # The last batch is filled up with copies of its last point: one shape, one compilation.
        padding = ((0, self.batch - len(points)), (0, 0))
        padded = np.pad(np.asarray(points), padding, mode="edge")
        dtype = jnp.result_type(float)
        return np.asarray(self._evaluate(self._ansatz, jnp.asarray(padded, dtype)))[: len(points)]
