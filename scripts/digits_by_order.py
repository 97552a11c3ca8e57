"""How many digits `stde` and `tangent_prop` keep of d^n u/dx^n in single precision.

usage: python scripts/digits_by_order.py [--orders 2,4,6,8,10] [--points N] [--width N] [--depth N]

u is an untrained MLP of two coordinates. The error is the largest over the points, relative to the
root mean square of the derivative; what is right comes from the same network in double precision,
by `stde`, and beside it stands how far `tangent_prop` is from that in double precision.
"""

import argparse
from collections.abc import Sequence
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.table import Table

from stde_cli.ansatz.networks import MLP
from stde_cli.autodiff.directions import Stratified
from stde_cli.estimators import STDE, AbstractEstimator
from stde_cli.estimators.published import TangentProp
from stde_cli.problem.operators import Partial
from stde_cli.system.types import Points, ScalarField

_ESTIMATORS: dict[str, AbstractEstimator] = {
    "stde": STDE(Stratified(), 1),
    "tangent_prop": TangentProp(Stratified(), 1),
}


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--orders", default="2,4,6,8,10")
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--depth", type=int, default=4)
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    network_key, points_key = jax.random.split(jax.random.key(0))
    network = MLP(2, width=options.width, depth=options.depth, activation="tanh", key=network_key)
    x = jax.random.uniform(points_key, (options.points, 2), minval=-1, maxval=1)
    table = Table("order", "stde", "tangent_prop", "the two in double precision")
    for order in map(int, options.orders.split(",")):
        table.add_row(str(order), *(f"{error:.1e}" for error in _errors(network, x, order)))
    Console().print(table)


def _errors(network: ScalarField, x: Points, order: int) -> Sequence[float]:
    """Of both estimators in single precision, and of the second in double."""
    read = {name: partial(_derivative, each, order) for name, each in _ESTIMATORS.items()}
    right = read["stde"](network, x)
    single = [reading(*_single(network, x)) for reading in read.values()]
    scale = np.sqrt(np.mean(right**2))
    found = [*single, read["tangent_prop"](network, x)]
    return [float(np.abs(each - right).max() / scale) for each in found]


def _single(network: ScalarField, x: Points) -> tuple[ScalarField, Points]:
    def narrow(leaf: object) -> object:
        return jnp.asarray(leaf, jnp.float32) if eqx.is_inexact_array(leaf) else leaf

    return jax.tree.map(narrow, network), x.astype(jnp.float32)


def _derivative(
    estimator: AbstractEstimator, order: int, network: ScalarField, x: Points
) -> Float[np.ndarray, " points"]:
    operators = {"derivative": Partial((0,) * order)}
    drawn = estimator.draw(operators, 2, key=jax.random.key(0))

    @eqx.filter_jit
    def read(network: ScalarField, x: Points) -> jax.Array:
        return jax.vmap(lambda p: estimator(network, operators, p, drawn)[1]["derivative"])(x)

    return np.asarray(read(network, x), np.float64)


if __name__ == "__main__":
    main()
