"""Operators read exactly, and from one draw of directions: how far off one draw is, and the time.

Of a network as it is drawn, at points of unit spread. The time is that of the gradient of a mean
square over the points, as a training step takes it.
"""

import argparse
import time
from collections.abc import Callable, Iterator

import equinox as eqx
import jax
import jax.numpy as jnp

from stde_cli.ansatz.networks import MLP
from stde_cli.autodiff.directions import AbstractSampler, Dense, Importance, Stratified
from stde_cli.estimators import STDE, Exact, mean_and_standard_error, read_operators
from stde_cli.problem.operators import (
    AbstractOperator,
    Drift,
    GradientForm,
    GradientNorm,
    Laplacian,
    SecondOrder,
    SumOfPartials,
)
from stde_cli.problem.pdes.parameters import equicorrelated
from stde_cli.system.prng import make_key
from stde_cli.system.types import Point, Points, Scalar

_DRAWS = 256
_LARGEST = 1_000
"""Dimensions up to which matrices are formed, and second derivatives read in all coordinates."""
_SAMPLERS: dict[str, AbstractSampler] = {
    "stratified": Stratified(),
    "importance": Importance(),
    "rademacher": Dense("rademacher"),
}


def of_first_order(dim: int) -> Iterator[tuple[str, AbstractOperator, list[str]]]:
    """A name, the operator, and samplers that it could be read by."""
    yield "|grad u|^2", GradientNorm(), ["stratified", "rademacher"]
    yield "x . grad u, one derivative along x", Drift(lambda x: x), []
    by_terms = SumOfPartials((1,), coefficient=lambda x, indices: x[indices[:, 0]])
    yield "x . grad u, term by term", by_terms, ["stratified"]
    if dim <= _LARGEST:
        yield "grad u . A grad u", GradientForm(correlated(dim)), []


def of_second_order(dim: int) -> Iterator[tuple[str, AbstractOperator, list[str]]]:
    yield "laplacian", Laplacian(), ["stratified", "rademacher"]
    diagonal = SumOfPartials((2,), coefficient=jnp.logspace(-1, 1, dim))
    yield "trace, diagonal from 0.1 to 10", diagonal, ["stratified", "importance"]
    if dim <= _LARGEST:
        yield "trace, all correlated by 0.5", SecondOrder(correlated(dim)), list(_SAMPLERS)


def correlated(dim: int) -> jax.Array:
    return jnp.asarray(equicorrelated(dim, 1.0, 0.5), float)


def noise(sampler: STDE, operator: AbstractOperator, network: MLP, points: Points) -> float:
    """The root mean square error of one draw over that of the operator, over the points."""
    squares, values = 0.0, 0.0
    for x in points:
        mean, error = mean_and_standard_error(
            sampler, network, operator, x, draws=_DRAWS, key=make_key(2)
        )
        squares, values = squares + float(error) ** 2 * _DRAWS, values + float(mean) ** 2
    return (squares / values) ** 0.5


def milliseconds(read: Callable[[MLP, Point], Scalar], network: MLP, points: Points) -> float:
    """The median of ten."""

    @eqx.filter_jit
    def step(network: MLP, points: Points) -> MLP:
        def loss(network: MLP) -> Scalar:
            return jnp.mean(jax.vmap(lambda x: read(network, x))(points) ** 2)

        return eqx.filter_grad(loss)(network)

    jax.block_until_ready(step(network, points))
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        jax.block_until_ready(step(network, points))
        seconds.append(time.perf_counter() - start)
    return 1e3 * sorted(seconds)[5]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dims", type=int, nargs="+", default=[100, 10_000])
    parser.add_argument("--directions", type=int, default=16)
    parser.add_argument("--points", type=int, default=100)
    options = parser.parse_args()
    for dim in options.dims:
        network = MLP(dim, key=make_key(0))
        points = jax.random.normal(make_key(1), (options.points, dim))
        first, second = list(of_first_order(dim)), list(of_second_order(dim))
        for name, operator, samplers in first + second:
            one_pass = isinstance(operator, Drift) or operator.in_one_pass
            if one_pass or dim <= _LARGEST:

                def exact(network: MLP, x: Point, o: AbstractOperator = operator) -> Scalar:
                    return read_operators(Exact(), network, {"o": o}, x, None)[1]["o"]

                print(f"{dim:>6}  {name}: exact, {milliseconds(exact, network, points):.1f} ms")
            for of in samplers:
                estimator = STDE(_SAMPLERS[of], options.directions)
                drawn = estimator.draw({"o": operator}, dim, key=make_key(3))

                def sampled(
                    network: MLP,
                    x: Point,
                    e: STDE = estimator,
                    o: AbstractOperator = operator,
                    d: object = drawn,
                ) -> Scalar:
                    return e(network, {"o": o}, x, d)[1]["o"]

                spent = milliseconds(sampled, network, points)
                off = noise(estimator, operator, network, points[:4])
                print(f"{dim:>6}  {name}: {of} off by {off:.0%}, {spent:.1f} ms", flush=True)


if __name__ == "__main__":
    main()
