"""|grad u|^2 by jets and by one reverse pass: noise of one draw, and time of a loss's gradient."""

import argparse
import time

import equinox as eqx
import jax
import jax.numpy as jnp

from stde_cli.ansatz.networks import MLP
from stde_cli.autodiff.directions import AbstractSampler, Dense, Stratified
from stde_cli.estimators import STDE, mean_and_standard_error
from stde_cli.problem.operators import GradientNorm
from stde_cli.system.prng import make_key

_DRAWS = 256


def noise(sampler: AbstractSampler, directions: int, network: MLP, x: jax.Array) -> float:
    """The standard deviation of one draw, against the value."""
    estimator = STDE(sampler, directions)
    mean, error = mean_and_standard_error(
        estimator, network, GradientNorm(), x, draws=_DRAWS, key=make_key(2)
    )
    return float(error * _DRAWS**0.5 / mean)


def milliseconds(read, network: MLP, points: jax.Array, repeats: int) -> float:
    """Of the gradient of a mean square over the points."""

    @eqx.filter_jit
    def step(network: MLP, points: jax.Array) -> MLP:
        def loss(network: MLP) -> jax.Array:
            return jnp.mean(jax.vmap(lambda x: read(network, x))(points) ** 2)

        return eqx.filter_grad(loss)(network)

    jax.block_until_ready(step(network, points))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(step(network, points))
        seconds.append(time.perf_counter() - start)
    return 1e3 * sorted(seconds)[repeats // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dims", type=int, nargs="+", default=[100, 10_000])
    parser.add_argument("--directions", type=int, default=16)
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    operator = GradientNorm()
    for dim in options.dims:
        network = MLP(dim, key=make_key(0))
        points = jax.random.normal(make_key(1), (options.points, dim))
        drawn = STDE(Stratified(), options.directions).draw({"n": operator}, dim, key=make_key(3))

        def by_jets(network, x, drawn=drawn):
            estimator = STDE(Stratified(), options.directions)
            return estimator(network, {"n": operator}, x, drawn)[1]["n"]

        for name, sampler in (("stratified", Stratified()), ("rademacher", Dense("rademacher"))):
            spread = noise(sampler, options.directions, network, points[0])
            print(f"dim {dim:>6}  jets, {name}: one draw is off by {spread:.0%}")
        jets = milliseconds(by_jets, network, points, options.repeats)
        whole = milliseconds(operator.exact, network, points, options.repeats)
        print(f"dim {dim:>6}  jets {jets:.2f} ms, one reverse pass {whole:.2f} ms")


if __name__ == "__main__":
    main()
