"""The value at the point where it is wanted: what a run finds there, and what is true."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stde_cli.problem.pdes import AbstractPDE
from stde_cli.system.types import Point, PRNGKey, Scalar, ScalarField

_LOOKED_AT, _NUMBERS = 1_000, 2_000_000
"""Points that are held against the wanted one, and how many numbers they have at most."""
_NEAR = 0.5
"""Standard deviations of a coordinate, root mean square over all, from which on nothing is near."""


class AtPoint(NamedTuple):
    """u at the wanted point; what it should be and by how much it is off, where that is known."""

    value_at_point: float
    reference_at_point: float | None
    rel_error_at_point: float | None


def reference_at(pde: AbstractPDE) -> float | None:
    """The true value at the wanted point: of the exact solution, or else as the PDE gives it.

    Nothing of it ever enters training.
    """
    if pde.value_at is None:
        return None
    if pde.solution is not None:
        return float(_at(pde.solution, pde.value_at))
    return pde.reference


def value_at_point(
    field: ScalarField, pde: AbstractPDE, reference: float | None = None
) -> AtPoint | None:
    """None where no value is wanted.

    Args:
        reference: what is true there, as a solver found it; None: as the PDE says.
    """
    if pde.value_at is None:
        return None
    value = float(_at(field, pde.value_at))
    reference = reference_at(pde) if reference is None else reference
    error = abs(value / reference - 1) if reference else None
    return AtPoint(value, reference, error)


def far_from_point(pde: AbstractPDE, *, key: PRNGKey) -> str | None:
    """What is to be said of training points that do not come near the wanted one; else None.

    A network says little of where no point lies: in many dimensions all but a few points of a ball,
    a box or a Gaussian keep away from its middle.
    """
    if pde.value_at is None:
        return None
    points = max(10, min(_LOOKED_AT, _NUMBERS // pde.domain.dim))
    nearest, apart = map(np.asarray, _distances(pde, pde.value_at, points, key))
    names = pde.layout.names
    for name, position in names.items():
        if apart[position] > _NEAR:
            return (
                f"the training points do not come near value_at: in {name} the nearest of "
                f"{points:,} is {apart[position]:.2g} standard deviations off"
            )
    if nearest <= _NEAR:
        return None
    family = pde.layout.family or "x"
    return (
        f"the training points do not come near value_at: the nearest of {points:,} is {nearest:.2g}"
        f" standard deviations a coordinate off; take {family}: {{diffusion: volatility}}"
    )


@eqx.filter_jit
def _at(field: ScalarField, x: Point) -> Scalar:
    return field(x)


@eqx.filter_jit
def _distances(
    pde: AbstractPDE, wanted: Point, points: int, key: PRNGKey
) -> tuple[Scalar, Float[Array, " dim"]]:
    """Of the nearest point, and of the nearest entry in each coordinate, in standard deviations."""
    x = pde.domain.sample_interior(points, key=key)
    spread = jnp.broadcast_to(pde.domain.spread, (x.shape[1],))
    away = jnp.abs(x - wanted) / spread
    return jnp.sqrt(jnp.min(jnp.mean(away**2, axis=1))), jnp.min(away, axis=0)
