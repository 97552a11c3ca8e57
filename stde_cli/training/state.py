from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Int, PyTree

from stde_cli.ansatz.hard_constraint import HardConstraint, trained
from stde_cli.ansatz.networks import silenced
from stde_cli.ansatz.networks.features import Untrained
from stde_cli.objective.collocation import AbstractCollocation, Uniform
from stde_cli.objective.losses import AbstractLoss
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.objective.weighting import AbstractWeighting, Fixed, Weights
from stde_cli.problem.pdes import AbstractPDE
from stde_cli.system.types import PRNGKey, ScalarField
from stde_cli.training.start import AbstractStart, Units


class Problem(eqx.Module):
    """All that stays the same from step to step."""

    residual: SampledResidual
    loss: AbstractLoss
    optimizer: Callable[[optax.Schedule], optax.GradientTransformation] = eqx.field(static=True)
    """Of the learning rate, by step; of `schedule`, whose numbers are data."""
    points: int = eqx.field(static=True)
    condition_points: int = eqx.field(static=True)
    """Points of each condition beside the equation."""
    start: AbstractStart
    key: PRNGKey
    """Step n draws from fold_in(key, n) alone: a resumed run draws what an unbroken one would."""
    redraw_every: int = eqx.field(static=True, default=1)
    """Steps that share their points and directions: n above counts them as one."""
    collocation: AbstractCollocation = Uniform()
    weighting: AbstractWeighting = Fixed()
    schedule: optax.Schedule = Partial(optax.constant_schedule(1.0))

    @property
    def pde(self) -> AbstractPDE:
        return self.residual.pde


class TrainerState(eqx.Module):
    """All that changes from step to step."""

    step: Int[Array, ""]
    ansatz: HardConstraint
    optimizer_state: PyTree
    units: Units
    """Found at the start, and the same from then on: a resumed run does not search anew."""
    weights: Weights | None = None
    """What `weighting` makes of the conditions."""


def initial_state(
    problem: Problem,
    make_network: Callable[..., ScalarField],
    *,
    start_key: PRNGKey,
    network_key: PRNGKey,
) -> TrainerState:
    """The state before the first step; `make_network(dim, key=)` draws the parameters."""
    pde = problem.pde
    guess, scale, units, silent = problem.start(problem.residual, problem.points, key=start_key)
    network = make_network(pde.domain.dim, key=network_key)
    network = silenced(network) if silent else network
    ansatz = HardConstraint(network, pde.constraint, scale, guess, pde.lift)
    optimizer_state = problem.optimizer(problem.schedule).init(eqx.filter(ansatz, trained(ansatz)))
    weights = problem.weighting.initial(len(pde.conditions))
    return TrainerState(jnp.zeros((), jnp.int32), ansatz, optimizer_state, units, weights)


def is_array(leaf: object) -> bool:
    """Whether a leaf is an array, or the shape of one that is not made yet."""
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)


def state_bytes(state: TrainerState) -> int:
    """Memory of the state's arrays, which may be abstract."""
    leaves = jax.tree.leaves(eqx.filter(state, is_array))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)


def parameter_count(network: PyTree) -> int:
    """Numbers that are trained in the arrays of `network`, which may be abstract."""
    leaves = jax.tree.leaves(network, is_leaf=lambda node: isinstance(node, Untrained))
    return sum(leaf.size for leaf in leaves if is_array(leaf))
