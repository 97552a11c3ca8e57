"""Fit the planner's costs to measured times.

usage: python scripts/fit_plan_costs.py [--repeats N]

Pushes of different size go through the paper's network (width 128, depth 4) at 100 points, forward
and backward to the parameters. The least time of many repeats is fitted by

    time = overhead + a coefficients + b products

with every size weighing the same, relative to its time. b/a is `pushes.PRODUCT_COST`.
"""

import argparse
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from stde_cli.ansatz.networks import MLP
from stde_cli.autodiff.directions import CoordinateDirections
from stde_cli.autodiff.restriction import restrict
from stde_cli.autodiff.taylor import push_together
from stde_cli.autodiff.taylor.planner import plan
from stde_cli.autodiff.taylor.pushes import Push

_DIM, _POINTS = 3, 100
_JETS = {1: (1, 2, 3, 4, 5, 6, 8, 10, 12), 4: (2, 4, 6), 8: (4,)}
"""Orders of univariate pushes, by how many of them are pushed together."""
_BOXES = (
    (1, 1), (2, 1), (1, 1, 1), (3, 1), (2, 2), (2, 1, 1), (4, 1), (3, 2), (2, 2, 1), (3, 3),
    (2, 2, 2), (4, 4),
)  # fmt: skip
"""Partials on top of multivariate pushes."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit the planner's costs to measured times.")
    parser.add_argument("--repeats", type=int, default=60)
    repeats = parser.parse_args().repeats
    jets = {f"{n} x {k}-jet" if n > 1 else f"{k}-jet": _jets(n, k)
            for n, orders in _JETS.items() for k in orders}  # fmt: skip
    boxes = {f"polynomial {box}": _box(box) for box in _BOXES}
    measured = _times({**jets, **boxes}, repeats)
    console = Console(highlight=False)
    for title, sizes in (("all", jets | boxes), ("univariate", jets), ("multivariate", boxes)):
        console.print(_fit(title, sizes, measured), "\n")


def _jets(count: int, order: int) -> tuple[Push, ...]:
    """Jets of one order, along directions of which no two agree."""
    indices = tuple((k,) for k in range(1, order + 1))
    return tuple(Push((((1,), (1, n, n * n)),), indices) for n in range(count))


def _box(top: tuple[int, ...]) -> tuple[Push, ...]:
    padded = top + (0,) * (_DIM - len(top))
    return plan([padded], ["multivariate"]).pushes


def _times(sizes: dict[str, tuple[Push, ...]], repeats: int) -> dict[str, float]:
    """Seconds by name: the sizes in turn, so that a busy spell does not hit one alone."""
    network = MLP(_DIM, key=jax.random.key(0))
    points = jax.random.normal(jax.random.key(1), (_POINTS, _DIM))
    compiled = {name: _compiled(pushes, network, points) for name, pushes in sizes.items()}
    least = dict.fromkeys(sizes, float("inf"))
    for _ in range(repeats):
        for name, step in compiled.items():
            start = time.perf_counter()
            jax.block_until_ready(step(network, points))
            least[name] = min(least[name], time.perf_counter() - start)
    return least


def _compiled(pushes: tuple[Push, ...], network: MLP, points: jax.Array):
    places = [index for index, _ in pushes[0].seeds]
    vectors = jnp.array([[vector for _, vector in one.seeds] for one in pushes], float)
    ones = jnp.ones(_DIM)
    plane = CoordinateDirections(jnp.arange(_DIM), ones, ones, distinct=True)

    def loss(network: MLP, points: jax.Array) -> jax.Array:
        def at(x: jax.Array) -> jax.Array:
            field = restrict(network, x, plane)

            seeds = {place: vectors[:, k] for k, place in enumerate(places)}
            _, found = push_together(field, seeds, pushes[0].indices)
            return jnp.sum(jnp.stack(list(found.values())))

        return jnp.mean(jax.vmap(at)(points))

    step = eqx.filter_jit(eqx.filter_value_and_grad(loss))
    jax.block_until_ready(step(network, points))
    return step


def _fit(title: str, sizes: dict[str, tuple[Push, ...]], measured: dict[str, float]) -> Table:
    """The least-squares fit to some of the sizes, and what it leaves."""
    milliseconds = np.array([1e3 * measured[name] for name in sizes])
    counts = np.array(
        [[1, sum(len(p.indices) for p in ps), sum(p.products for p in ps)] for ps in sizes.values()]
    )
    weighted = counts / milliseconds[:, None]
    (overhead, a, b), *_ = np.linalg.lstsq(weighted, np.ones(len(sizes)), rcond=None)
    fitted = counts @ (overhead, a, b)
    rms = np.sqrt(np.mean((fitted / milliseconds - 1) ** 2))
    table = Table(
        title=f"{title}: overhead {overhead:.2f} ms, a = {a:.3f} ms, b/a = {b / a:.3f}, "
        f"residual {rms:.1%}",
        title_justify="left",
        box=None,
    )
    for heading in ("pushes", "coefficients", "products", "ms", "fitted", "residual"):
        table.add_column(heading, justify="left" if heading == "pushes" else "right")
    for name, (_, n, p), ms, f in zip(sizes, counts, milliseconds, fitted, strict=True):
        table.add_row(name, f"{n}", f"{p}", f"{ms:.2f}", f"{f:.2f}", f"{f / ms - 1:+.0%}")
    return table


if __name__ == "__main__":
    main()
