"""How much the draws of directions scatter on trained networks, by sampler.

usage: python scripts/estimator_variance.py RUN... [--points N] [--draws N] [--seed S]

Every sampler draws as many directions as the run's estimator did. In the columns,

    residual   sqrt(mean_x Var R(x) / mean_x f(x)^2), R the estimated residual, f the source
    of loss    mean_x Var R(x) / mean_x E R(x)^2: the part of `loss=residual` that is variance
    shared     sqrt(E |g - E g|^2) / |E g| of the gradient g of `loss=residual` over the draws of
               directions that all points share, and the least time of such a gradient
    each       the same with directions drawn for each point
    new points the same in the same unit, |E g| at the fixed points, with points drawn anew too

"4 x" is the mean of four independent draws of a quarter of the directions each. `importance` has a
row where it draws otherwise than `stratified`.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from rich.console import Console
from rich.table import Table

from stde_cli.ansatz.hard_constraint import HardConstraint
from stde_cli.ansatz.hard_constraint import trained as is_trained
from stde_cli.autodiff import directions
from stde_cli.autodiff.directions import AbstractDirections, AbstractSampler, Sizes, Stratified
from stde_cli.estimators import STDE
from stde_cli.jobs import trained
from stde_cli.objective.losses import Residual
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.pdes import AbstractPDE
from stde_cli.runs.directory import RunDirectory
from stde_cli.system.types import Points, PRNGKey, Scalar, Values


class MeanOfDraws(AbstractSampler):
    """The mean of `times` independent draws, the directions shared out among them."""

    sampler: AbstractSampler
    times: int

    def __call__(
        self, dim: int, batch: int, *, sizes: Sizes = None, key: PRNGKey
    ) -> AbstractDirections:
        first, *others = (
            self.sampler(dim, batch // self.times, sizes=sizes, key=k)
            for k in jax.random.split(key, self.times)
        )
        for other in others:
            first = directions.joined(first, other)
        return eqx.tree_at(lambda d: d.weights, first, first.weights / self.times)


_HEADINGS = ("sampler", "residual", "of loss", "shared", "each", "shared, new points",
             "each, new points", "shared, ms", "each, ms")  # fmt: skip
_SAMPLERS = {
    "stratified": Stratified(),
    "4 x stratified": MeanOfDraws(Stratified(), 4),
    "without_replacement": directions.WithoutReplacement(),
    "4 x without_replacement": MeanOfDraws(directions.WithoutReplacement(), 4),
    "with_replacement": directions.WithReplacement(),
    "rademacher": directions.Dense("rademacher"),
    "gaussian": directions.Dense("gaussian"),
    "importance": directions.Importance(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="How much the draws of directions scatter.")
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+")
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--draws", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for path in options.runs:
        loaded = trained.load(RunDirectory.open(path))
        pde, batch = loaded.built.problem.pde, loaded.config.estimator.batch
        table = Table(title=f"{path}: dim {pde.domain.dim}, {batch} directions", box=None)
        for heading in _HEADINGS:
            table.add_column(heading, justify="left" if heading == "sampler" else "right")
        keys = jax.random.split(jax.random.key(options.seed), options.draws)
        for name, estimator in _estimators(pde, batch):
            figures = _figures(pde, estimator, loaded.ansatz, options.points, keys)
            table.add_row(name, *(f"{figure:.3g}" for figure in figures))
        Console(highlight=False, width=120).print(table)


def _estimators(pde: AbstractPDE, batch: int) -> Iterator[tuple[str, STDE]]:
    """By name, those whose directions can represent the equation's operators."""

    def draw(sampler: AbstractSampler):
        key = jax.random.key(0)
        return STDE(sampler, batch).draw(pde.operators, pde.domain.dim, key=key)

    for name, sampler in _SAMPLERS.items():
        try:
            drawn = draw(sampler)
        except ValueError:
            continue
        as_stratified = eqx.tree_equal(jax.tree.leaves(drawn), jax.tree.leaves(draw(Stratified())))
        if name == "stratified" or not as_stratified:
            yield name, STDE(sampler, batch)


def _figures(
    pde: AbstractPDE, estimator: STDE, ansatz: HardConstraint, count: int, keys: jax.Array
) -> tuple[float, ...]:
    """The numbers of one row, in order."""
    points = pde.domain.sample_interior(count, key=jax.random.key(1))

    residual = SampledResidual(pde, estimator)

    @jax.jit
    def residuals(key: PRNGKey) -> Values:
        return residual.at(ansatz, points, residual.draw(key=key))

    found = jnp.stack([residuals(key) for key in keys])
    variance = jnp.mean(jnp.var(found, axis=0, ddof=1))
    relative = jnp.sqrt(variance / jnp.mean(jax.vmap(pde.source)(points) ** 2))

    def shared(field: HardConstraint, points: Points, key: PRNGKey) -> Scalar:
        return Residual()(residual, field, points, key=key)

    def each(field: HardConstraint, points: Points, key: PRNGKey) -> Scalar:
        own = jax.random.split(key, count)
        return jnp.mean(jax.vmap(lambda x, key: shared(field, x[None], key))(points, own))

    def fixed(key: PRNGKey) -> Points:
        return points

    def new(key: PRNGKey) -> Points:
        return pde.domain.sample_interior(count, key=key)

    cases = ((shared, fixed), (each, fixed), (shared, new), (each, new))
    squares, variances, seconds = zip(
        *(_gradients(loss, ansatz, where, keys) for loss, where in cases), strict=True
    )
    noises = ((variance / squares[0]) ** 0.5 for variance in variances)
    milliseconds = (1e3 * least for least in seconds[:2])
    return (float(relative), float(variance / jnp.mean(found**2)), *noises, *milliseconds)


def _gradients(
    loss: Callable[[HardConstraint, Points, PRNGKey], Scalar],
    ansatz: HardConstraint,
    points: Callable[[PRNGKey], Points],
    keys: jax.Array,
) -> tuple[float, float, float]:
    """|E g|^2 and E |g - E g|^2 of the gradient g of `loss`, and its least time in seconds."""
    parameters, static = eqx.partition(ansatz, is_trained(ansatz))

    @jax.jit
    def gradient(points: Points, key: PRNGKey) -> jax.Array:
        found = jax.grad(lambda p: loss(eqx.combine(p, static), points, key))(parameters)
        return ravel_pytree(found)[0]

    gradients, times = [], []
    for points_key, key in jax.vmap(jax.random.split)(keys):
        at = jax.block_until_ready(points(points_key))
        start = time.perf_counter()
        gradients.append(jax.block_until_ready(gradient(at, key)))
        times.append(time.perf_counter() - start)
    stacked = jnp.stack(gradients)
    variance = float(jnp.sum(jnp.var(stacked, axis=0, ddof=1)))
    # The square of the mean of n draws is too large by an n-th of the variance.
    square = float(jnp.sum(jnp.mean(stacked, axis=0) ** 2)) - variance / len(keys)
    return square, variance, min(times)


if __name__ == "__main__":
    main()
