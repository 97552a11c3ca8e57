"""A run read back: its trained ansatz, ready to be evaluated."""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from omegaconf import DictConfig

from stde_cli.ansatz.hard_constraint import HardConstraint
from stde_cli.config import saved
from stde_cli.config.build import Built, abstract_state, build, configure_jax
from stde_cli.estimators import Exact
from stde_cli.expressions import Layout, parse
from stde_cli.expressions import Partial as PartialNode
from stde_cli.problem.operators import AbstractOperator, Laplacian, Partial
from stde_cli.runs.directory import RunDirectory
from stde_cli.system.errors import UsageError
from stde_cli.training.checkpoint import read_newest

_BATCH_NUMBERS = 10_000_000
_LARGEST_BATCH = 1_000


class Trained(NamedTuple):
    """A run's configuration and its ansatz at the newest checkpoint."""

    config: DictConfig
    built: Built
    ansatz: HardConstraint
    step: int


def load(run: RunDirectory) -> Trained:
    """Read the newest whole checkpoint of `run`, which may be at work.

    Raises:
        UsageError: there is none, or none can be read.
    """
    config = saved.load(run)
    configure_jax(config)
    state = read_newest(run.checkpoints, abstract_state(config))
    built = build(config)
    return Trained(config, built, state.ansatz, int(state.step))


def parse_derivatives(names: Sequence[str], layout: Layout) -> dict[str, AbstractOperator]:
    """Operators by name: "laplacian", or a partial such as "u_x3", "u_tx" or "partial(u, t, x)".

    Numbered coordinates are counted from 1, as in the formulas.

    Raises:
        UsageError: a name is neither, or a coordinate is not there.
    """
    operators: dict[str, AbstractOperator] = {}
    for name in names:
        if name == "laplacian":
            space = layout.space
            contiguous = list(space) == list(range(space[0], space[-1] + 1)) if space else False
            if not contiguous:
                why = "the coordinates that it is taken in are not side by side"
                raise UsageError("--derivatives", name, why, "name its terms, such as u_xx")
            operators[name] = Laplacian((space[0], space[-1] + 1))
            continue
        if name.startswith("partial("):
            node = parse(name, layout, {}, where="--derivatives", allow=frozenset("u"))
            readings = (node.coordinates,) if isinstance(node, PartialNode) else ()
        else:
            readings = layout.readings(name.removeprefix("u_")) if name.startswith("u_") else ()
        if len(readings) > 1:
            why, mend = layout.ambiguity(readings), "write the one that is meant"
            raise UsageError("--derivatives", name, why, mend)
        if not readings:
            last = layout.label(layout.dim - 1)
            mend = f"write laplacian, or partials in {layout.label(0)} to {last} such as u_{last}"
            raise UsageError("--derivatives", name, "unknown derivative", mend)
        operators[name] = Partial(readings[0])
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
