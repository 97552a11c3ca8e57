"""Least squares fits of random features: what they see of a point, and how well a choice does."""

from functools import partial
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from stde_cli.ansatz.hard_constraint import Zero
from stde_cli.ansatz.networks import OfFeatures
from stde_cli.ansatz.random_features import Drawn, RandomFeatures
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.operators import KnowsLaplacian
from stde_cli.problem.pdes import AbstractPDE
from stde_cli.system.types import PRNGKey, Scalar
from stde_cli.training.levenberg_marquardt import Unknowns, levenberg_marquardt
from stde_cli.training.start.base import Units
from stde_cli.training.start.equations import Equations

_POINTS_PER_FEATURE, _CONDITION_POINTS_PER_FEATURE = 3.0, 0.5
_HELD_OUT = 500, 100
"""Points of the equation and of each condition."""
_TOGETHER = (1, 2, 3)
"""Coordinates of a family that a feature sees; all of them are tried as well."""

Choice: TypeAlias = Int[Array, ""]
Scales: TypeAlias = Float[Array, " groups"]
"""Logarithms, to the base of two, one for each group of inputs that are alike."""


class Inputs(eqx.Module):
    """What features see of a point: its coordinates, or functions of it."""

    of: OfFeatures | None
    pde: AbstractPDE
    family: range = eqx.field(static=True)
    """Inputs of which a feature may see a few only; their scale is one."""
    groups: tuple[int, ...] = eqx.field(static=True)
    """The number of each input's group."""

    def __init__(self, pde: AbstractPDE, of: list[str | int | float] | None, *, key: PRNGKey):
        self.pde = pde
        if of is None:
            self.of, self.family = None, pde.layout.family_range
            others = sorted(set(range(pde.domain.dim)) - set(self.family))
            self.groups = tuple(
                len(others) if position in self.family else others.index(position)
                for position in range(pde.domain.dim)
            )
        else:
            fields = tuple(pde.field(text, where=f"start.of[{k}]") for k, text in enumerate(of))
            self.of = OfFeatures(fields, lambda dim, key: Zero(), pde.domain, key=key)
            self.family, self.groups = range(0), tuple(range(len(of)))

    def draw(self, features: int, together: int, *, key: PRNGKey) -> Drawn:
        points_key, draw_key = jax.random.split(key)
        domain = self.pde.domain
        centres = domain.sample_interior(features, key=points_key)
        spread: Float[Array, ...] | float = domain.spread
        if self.of is not None:
            centres, spread = jax.vmap(self.of.arguments)(centres), 1.0
        return Drawn(centres, spread, family=self.family, together=together, key=draw_key)

    def field(self, features: RandomFeatures) -> KnowsLaplacian:
        """The features as a function of the point."""
        if self.of is None:
            return features
        return eqx.tree_at(lambda of: of.network, self.of, features)

    def scales(self, scales: Scales) -> Float[Array, " inputs"]:
        return 2.0 ** scales[jnp.array(self.groups)]


class Fits(eqx.Module):
    """Least squares fits of so many features, whatever their scales."""

    inputs: Inputs
    equations: Equations
    drawn: Drawn
    """One for each number of coordinates that a feature may see together, along a leading axis."""

    def __init__(
        self,
        residual: SampledResidual,
        units: Units,
        inputs: Inputs,
        features: int,
        *,
        key: PRNGKey,
    ):
        draw_key, points_key = jax.random.split(key)
        self.inputs = inputs
        points = int(_POINTS_PER_FEATURE * features), int(_CONDITION_POINTS_PER_FEATURE * features)
        self.equations = Equations(residual, units, points, _HELD_OUT, key=points_key)
        drawn = [inputs.draw(features, n, key=draw_key) for n in numbers_together(inputs.family)]
        self.drawn = jax.tree.map(lambda *each: jnp.stack(each), *drawn)

    def __call__(
        self, together: Choice, scales: Scales, rounds: int
    ) -> tuple[Scalar, RandomFeatures]:
        """The residuals' norm at points held out, and the features fitted."""
        drawn = jax.tree.map(lambda leaf: leaf[together], self.drawn)
        features = drawn.scaled(self.inputs.scales(scales))

        def with_factors(factors: Unknowns) -> RandomFeatures:
            return eqx.tree_at(lambda f: f.readout, features, factors)

        factors, score = levenberg_marquardt(
            partial(self.equations.linearised, lambda c: self.inputs.field(with_factors(c))),
            features.readout,
            rounds=rounds,
        )
        return score, with_factors(factors)


def numbers_together(family: range) -> list[int]:
    """How many coordinates of a family a feature may see, by `Choice`."""
    return sorted({min(n, len(family)) for n in (*_TOGETHER, len(family))})
