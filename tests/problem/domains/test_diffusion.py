"""Where the points of a diffusion fall: moments at a given time, and over all times."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.problem.domains import Brownian, Diffusion, GeometricBrownian, OrnsteinUhlenbeck
from stde_cli.system.prng import make_key

POINTS = 4000
START = jnp.array([1.0, -0.5, 2.0])
MATRIX = jnp.array([[0.5, 0.0, 0.0], [0.3, 0.4, 0.0], [-0.2, 0.1, 0.6]])
VOLATILITIES = {
    "number": jnp.array(0.7),
    "diagonal": jnp.array([0.3, 0.5, 0.9]),
    "matrix": MATRIX,
}


def covariance(volatility: jax.Array) -> np.ndarray:
    full = volatility if volatility.ndim == 2 else jnp.diag(jnp.broadcast_to(volatility, (3,)))
    return np.asarray(full @ full.T)


def check_mean(values: np.ndarray, expected: np.ndarray | float) -> None:
    """Within 4.5 standard errors, column by column."""
    error = np.std(values, axis=0) / np.sqrt(len(values))
    assert (np.abs(values.mean(axis=0) - expected) <= 4.5 * error).all()


@pytest.mark.parametrize("volatility", VOLATILITIES.values(), ids=VOLATILITIES)
@pytest.mark.parametrize(("wanted", "t"), [(0.2, 0.6), (0.8, 0.3), (0.5, 0.3)])
def test_a_brownian_motion_has_its_moments_at_every_time(
    volatility: jax.Array, wanted: float, t: float
) -> None:
    domain = Diffusion(Brownian(volatility), START, wanted=wanted, lower=0.2, upper=0.8)
    x = np.asarray(domain.sample_where({0: t}, POINTS, key=make_key(0)))
    assert (x[:, 0] == np.float32(t)).all()
    moved, expected = x[:, 1:] - np.asarray(START), covariance(volatility) * abs(t - wanted)
    check_mean(moved, 0.0)
    products = moved[:, :, None] * moved[:, None, :]
    check_mean(products.reshape(POINTS, -1), expected.ravel())
    spread = domain.spread_at(jnp.array([t, 0.0, 0.0, 0.0]))
    np.testing.assert_allclose(spread[1:], np.sqrt(np.diag(expected)), rtol=1e-5)


@pytest.mark.parametrize("volatility", VOLATILITIES.values(), ids=VOLATILITIES)
def test_a_geometric_one_has_its_moments(volatility: jax.Array) -> None:
    process = GeometricBrownian(volatility, jnp.array(0.3))
    domain = Diffusion(process, START, wanted=0.0, upper=0.5, time=3)
    x = np.asarray(domain.sample_where({3: 0.5}, POINTS, key=make_key(0)))[:, :3]
    check_mean(x, np.asarray(START) * np.exp(0.15))
    variance = np.diag(covariance(volatility))
    check_mean(x**2, np.asarray(START) ** 2 * np.exp(2 * 0.15 + 0.5 * variance))
    spread = domain.spread_at(jnp.array([0.0, 0.0, 0.0, 0.5]))[:3]
    expected = np.abs(START) * np.exp(0.15) * np.sqrt(np.exp(0.5 * variance) - 1)
    np.testing.assert_allclose(spread, expected, rtol=1e-5)


@pytest.mark.parametrize("volatility", VOLATILITIES.values(), ids=VOLATILITIES)
@pytest.mark.parametrize("steps", [None, 1])
def test_an_ornstein_uhlenbeck_process_has_its_moments(
    volatility: jax.Array, steps: int | None
) -> None:
    process = OrnsteinUhlenbeck(volatility, jnp.array(1.5))
    domain = Diffusion(process, START, wanted=0.0, upper=0.5, scatter=0.4, steps=steps)
    if steps:
        x = np.asarray(domain.sample_interior(POINTS, key=make_key(0)), np.float64)
    else:
        x = np.asarray(domain.sample_where({0: 0.5}, POINTS, key=make_key(0)), np.float64)
    decay = np.exp(-1.5 * x[:, :1])
    moved = x[:, 1:] - np.asarray(START) * decay
    check_mean(moved, 0.0)
    products = (moved[:, :, None] * moved[:, None, :]).reshape(POINTS, -1)
    expected = 0.16 * decay**2 * np.eye(3).ravel()
    expected = expected + (1 - decay**2) / 3 * covariance(volatility).ravel()
    check_mean(products - expected, 0.0)
    spread = domain.spread_at(jnp.asarray(x[0], jnp.float32))[1:]
    np.testing.assert_allclose(spread**2, np.diag(expected[0].reshape(3, 3)), rtol=1e-4)


def test_scattered_starts_spread_every_process() -> None:
    for process in (Brownian(MATRIX), GeometricBrownian(MATRIX, jnp.array(0.3))):
        domain = Diffusion(process, START, wanted=0.0, upper=0.5, scatter=0.4)
        x = np.asarray(domain.sample_where({0: 0.5}, POINTS, key=make_key(0)), np.float64)[:, 1:]
        mean = np.asarray(process.mean(START, jnp.array(0.5)))
        spread = np.asarray(domain.spread_at(jnp.array([0.5, 0.0, 0.0, 0.0])))[1:]
        check_mean(x, mean)
        check_mean((x - mean) ** 2, spread**2)


@pytest.mark.parametrize("steps", [None, 8])
@pytest.mark.parametrize("wanted", [0.0, 2.0, 0.5])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_times_and_spreads(steps: int | None, wanted: float, power: float) -> None:
    process = Brownian(jnp.array(0.7))
    domain = Diffusion(process, START, wanted=wanted, upper=2.0, power=power, steps=steps)
    x = np.asarray(domain.sample_interior(POINTS, key=make_key(1)), np.float64)
    assert x.shape == (POINTS, 4)
    assert jax.vmap(domain.contains)(jnp.asarray(x)).all()
    away = np.abs(x[:, 0] - wanted)
    length = np.where(x[:, 0] < wanted, wanted, 2.0 - wanted)
    # A time that is that of the start but for rounding has no side.
    length = np.where(length == 0, 2.0, length)
    unit = (away / length) ** (1 / power)
    for k in (1, 2, 3):
        check_mean(unit**k, 1 / (k + 1))
    # Given the time, every coordinate is normal with variance 0.49 times what has passed.
    # The points of one path are not independent: one of each is looked at.
    every = steps or 1
    apart, away = x[::every], away[::every]
    apart, away = apart[away > 1e-3], away[away > 1e-3]
    scaled = (apart[:, 1:] - np.asarray(START)) / (0.7 * np.sqrt(away))[:, None]
    check_mean(scaled, 0.0)
    check_mean(scaled**2, 1.0)
    spread = np.asarray(domain.spread)
    np.testing.assert_allclose(x.std(axis=0), spread, rtol=0.15 if steps else 0.06)


def test_the_boundary_is_both_ends_of_time() -> None:
    domain = Diffusion(Brownian(jnp.array(1.0)), START, wanted=0.0, upper=2.0)
    x = np.asarray(domain.sample_boundary(POINTS, key=make_key(2)))
    assert set(x[:, 0]) == {0.0, 2.0}
    check_mean((x[:, 0] == 0).astype(float), 0.5)
    np.testing.assert_array_equal(x[x[:, 0] == 0, 1:], np.tile(START, ((x[:, 0] == 0).sum(), 1)))


def test_outside_is_another_time_alone() -> None:
    domain = Diffusion(Brownian(jnp.array(1.0)), START, wanted=0.0, upper=2.0)
    assert domain.contains(jnp.array([1.0, 1e3, 0.0, 0.0]))
    assert not domain.contains(jnp.array([2.1, 0.0, 0.0, 0.0]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"upper": 0.0}, "the range .* is empty"),
        ({"wanted": 3.0}, "wanted=3.0 lies outside"),
        ({"power": 0.0}, "power=0.0 must be above 0"),
        ({"steps": 0}, "steps=0 1 or more"),
        ({"scatter": -1.0}, "scatter=-1.0 must be 0 or more"),
        ({"time": 1}, "time=1 must be 0 or 3"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, float], message: str) -> None:
    settings = {"wanted": 0.0, "upper": 2.0, **wrong}
    with pytest.raises(ValueError, match=message):
        Diffusion(Brownian(jnp.array(1.0)), START, **settings)  # pyright: ignore[reportArgumentType]
