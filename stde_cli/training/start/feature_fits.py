"""Least squares fits of random features: what they see of a point, and how well a choice does."""

from functools import partial
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from stde_cli.ansatz.hard_constraint import Zero
from stde_cli.ansatz.networks import OfFeatures
from stde_cli.ansatz.periodic import Embedding
from stde_cli.ansatz.random_features import Drawn, PeriodicFeatures, RandomFeatures
from stde_cli.expressions.symmetric import Arguments, texts
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

_LOOKS = 100
"""Points at which couplings are looked for."""
_MOST_COUPLED = 200
"""Coordinates of a family in which they are."""
_ABOVE_NOISE = 3.0
"""Mixed derivatives of coordinates that have something in common, in units of the median one. Where
most of them have, this prunes what it should not, and the residual tells."""

Choice: TypeAlias = Int[Array, ""]
Coupled: TypeAlias = Bool[Array, "family family"]
"""Which coordinates of the family a feature may see beside one another."""
Scales: TypeAlias = Float[Array, " groups"]
"""Logarithms, to the base of two, one for each group of inputs that are alike."""


class Inputs(eqx.Module):
    """What features see of a point: its coordinates, with sines and cosines in place of those that
    are periodic, or functions of it."""

    of: OfFeatures | None
    embedding: Embedding | None
    pde: AbstractPDE
    family: range = eqx.field(static=True)
    """Inputs of which a feature may see a few only; their scale is one."""
    inputs_each: int = eqx.field(static=True)
    """How many of these belong to one coordinate, and are seen together."""
    groups: tuple[int, ...] = eqx.field(static=True)
    """The number of each input's group."""

    def __init__(self, pde: AbstractPDE, of: Arguments | None, *, key: PRNGKey):
        self.pde, self.of, self.embedding, self.inputs_each = pde, None, None, 1
        if of is None:
            family = pde.layout.family_range
            others = sorted(set(range(pde.domain.dim)) - set(family))
            groups = [
                len(others) if position in family else others.index(position)
                for position in range(pde.domain.dim)
            ]
            self.family, self.groups = family, tuple(groups)
            if pde.domain.circles:
                # The sine and the cosine of one coordinate have its scale.
                self.embedding = Embedding(pde.domain)
                self.family = self.embedding.seen(family)
                self.inputs_each = len(self.family) // max(1, len(family)) or 1
                owners = self.embedding.owners
                self.groups = tuple(groups[owner] for owner in owners)
        else:
            given = texts(of, pde.layout, where="start.of")
            fields = tuple(pde.field(text, where=f"start.of[{k}]") for k, text in enumerate(given))
            self.of = OfFeatures(fields, lambda dim, key: Zero(), pde.domain, key=key)
            self.family, self.groups = range(0), tuple(range(len(given)))

    @property
    def may_be_coupled(self) -> bool:
        """Whether there are pairs of coordinates, some of which may have nothing in common.

        Of many it is not asked: what is looked at has the size of all pairs.
        """
        return 2 < self.coordinates <= _MOST_COUPLED

    def draw(self, features: int, *, key: PRNGKey) -> Drawn:
        points_key, draw_key = jax.random.split(key)
        domain = self.pde.domain
        centres = domain.sample_interior(features, key=points_key)
        spread: Float[Array, ...] | float = domain.spread
        if self.of is not None:
            centres, spread = jax.vmap(self.of.arguments)(centres), 1.0
        elif self.embedding is not None:
            centres, spread = jax.vmap(self.embedding)(centres), self.embedding.spread(spread)
        return Drawn(centres, spread, family=self.family, each=self.inputs_each, key=draw_key)

    @property
    def coordinates(self) -> int:
        """How many of them the family has."""
        return len(self.family) // self.inputs_each

    @property
    def numbers_together(self) -> list[int]:
        """How many coordinates of a family a feature may see, by `Choice`."""
        return sorted({min(n, self.coordinates) for n in (*_TOGETHER, self.coordinates)})

    def field(self, features: RandomFeatures) -> KnowsLaplacian:
        """The features as a function of the point."""
        if self.embedding is not None:
            return PeriodicFeatures(features, self.embedding)
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
        self.drawn = inputs.draw(features, key=draw_key)

    def __call__(
        self,
        together: Choice,
        scales: Scales,
        rounds: int,
        coupled: Coupled | None = None,
        free: Scalar | float = 1.0,
    ) -> tuple[Scalar, RandomFeatures]:
        """The residuals' norm at points held out, and the features fitted.

        Args:
            coupled: which coordinates are seen beside one another; None: any.
            free: the part of the features that see any beside one another.
        """
        number = jnp.array(self.inputs.numbers_together)[together]
        seen = self.drawn.seeing(number)
        if coupled is not None:
            count = len(seen)
            bound = jnp.arange(count) >= free * count
            seen = jnp.where(bound[:, None], self.drawn.seeing(number, coupled), seen)
        features = self.drawn.scaled(self.inputs.scales(scales), seen)

        def with_factors(factors: Unknowns) -> RandomFeatures:
            return eqx.tree_at(lambda f: f.readout, features, factors)

        factors, score = levenberg_marquardt(
            partial(self.equations.linearised, lambda c: self.inputs.field(with_factors(c))),
            features.readout,
            rounds=rounds,
        )
        return score, with_factors(factors)

    @property
    def any_coupled(self) -> Coupled | None:
        """None where it is not asked which."""
        if not self.inputs.may_be_coupled:
            return None
        count = self.inputs.coordinates
        return jnp.ones((count, count), bool)

    def coupled(self, fitted: RandomFeatures) -> Coupled:
        """The coordinates whose mixed derivative in what was fitted is no noise of the fit."""
        inputs = fitted.mixed_derivatives(self.drawn.centres[:_LOOKS], self.inputs.family)
        count, each = self.inputs.coordinates, self.inputs.inputs_each
        return above_noise(jnp.linalg.norm(inputs.reshape(count, each, count, each), axis=(1, 3)))


def above_noise(mixed: Float[Array, "family family"]) -> Coupled:
    """Which mixed derivatives are more than what a fit has of them where there is none."""
    between = mixed[jnp.triu_indices(len(mixed), 1)]
    return mixed > _ABOVE_NOISE * jnp.median(between)
