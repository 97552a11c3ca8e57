"""What a run found, at points that a picture can show: a plane, lines, points of the domain."""

from collections.abc import Iterator
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from stde_cli.config.build import configured_jax, keys_of
from stde_cli.jobs.trained import Trained
from stde_cli.problem.domains import AbstractDomain
from stde_cli.problem.pdes import AbstractPDE
from stde_cli.runs.reporting.pictures import Lines, Plane, Scattered
from stde_cli.runs.slices import Axis, Slice, middle
from stde_cli.system.types import Points, PRNGKey, ScalarField

_SIDE, _ALONG = 81, 201
"""Points of a plane's side, and of a line where there is one coordinate."""
_LINES, _OF_A_LINE, _SCATTERED = 3, 65, 256
_NUMBERS = 100_000_000
"""Coordinates that are drawn for the points of a picture, in many dimensions."""
_BATCH_NUMBERS, _LARGEST_BATCH = 10_000_000, 1_000


class Seen(NamedTuple):
    """Pictures of a solution, those that its coordinates allow."""

    planes: list[Plane]
    lines: Lines | None = None
    scattered: Scattered | None = None


def see(trained: Trained) -> Seen:
    """Evaluate the field, and the exact solution where one is known.

    One coordinate, or two, or two and t: all of the domain, at two times. Otherwise lines from
    boundary to boundary through the middle, and points of the domain.
    """
    layout = trained.built.problem.pde.layout
    with configured_jax(trained.config):
        if layout.dim == 1:
            return Seen([], _line(trained))
        timed = layout.dim == 3 and "t" in layout.names
        if layout.dim == 2 or timed:
            return Seen(list(_planes(trained, layout.names["t"] if timed else None)))
        return _in_many_dimensions(trained)


def _axis(trained: Trained, position: int, count: int) -> Axis:
    pde = trained.built.problem.pde
    low, high = np.asarray(pde.domain.extent, np.float64)[:, position]
    return Axis(pde.layout.label(position), position, np.linspace(low, high, count))


def _line(trained: Trained) -> Lines:
    axis = _axis(trained, 0, _ALONG)
    grid = Slice([axis], [], middle(trained.built.problem.pde.domain))
    u, exact = _values(trained, grid.batches(_ALONG))
    return Lines(axis.name, axis.values, u[None], None if exact is None else exact[None])


def _planes(trained: Trained, time: int | None) -> Iterator[Plane]:
    pde = trained.built.problem.pde
    across, up = (
        _axis(trained, position, _SIDE) for position in range(pde.layout.dim) if position != time
    )
    moments: list[list[tuple[str, int, float]]] = [[]]
    if time is not None:
        low, high = np.asarray(pde.domain.extent, np.float64)[:, time]
        moments = [[("t", time, float(moment))] for moment in ((low + high) / 2, high)]
    for held in moments:
        # Rows of an image go up.
        grid = Slice([up, across], held, middle(pde.domain))
        u, exact = _values(trained, grid.batches(_LARGEST_BATCH))
        yield Plane(
            (across.name, up.name),
            (across.values, up.values),
            u.reshape(grid.shape),
            None if exact is None else exact.reshape(grid.shape),
            ", ".join(f"{name} = {value:.3g}" for name, _, value in held),
        )


def _in_many_dimensions(trained: Trained) -> Seen:
    config, domain = trained.config, trained.built.problem.pde.domain
    fresh = keys_of(config.seed, config.runtime.generator).fresh
    ends_key, points_key = jax.random.split(fresh)
    affordable = _NUMBERS // domain.dim
    count = min(_OF_A_LINE, max(9, affordable // (2 * _LINES)))
    position = np.linspace(-1.0, 1.0, count)
    centre = middle(domain)
    found = [
        _values(trained, _along(centre, end, position, _batch(domain.dim)))
        for end in _ends(domain, key=ends_key)
    ]
    u, exact = zip(*found, strict=True)
    name = "along random lines through the middle of the domain, from end to end"
    known = None if exact[0] is None else np.stack(exact)
    lines = Lines(name, position, np.stack(u), known)
    if known is None:
        return Seen([], lines)
    points = min(_SCATTERED, max(16, affordable // 2))
    u, there = _values(trained, _drawn(domain, points, key=points_key))
    assert there is not None
    return Seen([], lines, Scattered(u, there))


def _batch(dim: int) -> int:
    return max(1, min(_LARGEST_BATCH, _BATCH_NUMBERS // dim))


def _ends(domain: AbstractDomain, *, key: PRNGKey) -> Iterator[np.ndarray]:
    """Points of the boundary, or of the inside where the domain has none."""
    for each in jax.random.split(key, _LINES):
        try:
            yield np.asarray(domain.sample_boundary(1, key=each)[0], np.float64)
        except ValueError:
            yield np.asarray(domain.sample_interior(1, key=each)[0], np.float64)


def _along(
    centre: np.ndarray, end: np.ndarray, position: np.ndarray, size: int
) -> Iterator[np.ndarray]:
    for start in range(0, len(position), size):
        yield centre + position[start : start + size, None] * (end - centre)


def _drawn(domain: AbstractDomain, count: int, *, key: PRNGKey) -> Iterator[np.ndarray]:
    size = min(count, _batch(domain.dim))
    for number in range(-(-count // size)):
        wanted = min(size, count - number * size)
        points = domain.sample_interior(size, key=jax.random.fold_in(key, number))
        yield np.asarray(points, np.float64)[:wanted]


def _values(
    trained: Trained, batches: Iterator[np.ndarray]
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"] | None]:
    """u, and the exact solution, NaN where a point lies outside the domain."""
    collected, size = [], 0
    for batch in batches:
        # The last one is filled up: one shape, one compilation.
        size = max(size, len(batch))
        padded = np.pad(batch, ((0, size - len(batch)), (0, 0)), mode="edge")
        values = _at(trained.ansatz, trained.built.problem.pde, jnp.asarray(padded, float))
        collected.append(np.asarray(values, np.float64)[:, : len(batch)])
    values = np.concatenate(collected, axis=1)
    return values[0], values[1] if len(values) > 1 else None


@eqx.filter_jit
def _at(u: ScalarField, pde: AbstractPDE, x: Points) -> Float[jax.Array, "fields points"]:
    fields = (u,) if pde.solution is None else (u, pde.solution)
    within = jax.vmap(pde.domain.contains)(x)
    return jnp.stack([jnp.where(within, jax.vmap(field)(x), jnp.nan) for field in fields])
