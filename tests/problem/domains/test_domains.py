"""Where points fall, how evenly, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.problem.domains import AbstractDomain, Ball, Box, Gaussian, Product
from stde_cli.system.prng import make_key

POINTS = 4000
BOX = Box((0.0, 2.0), (-1.0, 3.0), (5.0, 5.5))
WHOLE = Product(Box((0.0, 1.0)), Ball(3, 2.0), Gaussian(2, 0.5))


def inside(domain: AbstractDomain, *, seed: int = 0) -> np.ndarray:
    x = np.asarray(domain.sample_interior(POINTS, key=make_key(seed)), np.float64)
    assert x.shape == (POINTS, domain.dim)
    return x


def on_boundary(domain: AbstractDomain, *, seed: int = 0) -> np.ndarray:
    x = np.asarray(domain.sample_boundary(POINTS, key=make_key(seed)), np.float64)
    assert x.shape == (POINTS, domain.dim)
    return x


def check_mean(values: np.ndarray, expected: float) -> None:
    """Within 4.5 standard errors."""
    assert abs(values.mean() - expected) < 4.5 * values.std() / np.sqrt(len(values))


def check_uniform(values: np.ndarray, low: float, high: float) -> None:
    """By range and the first four moments, on [0, 1]."""
    assert low <= values.min()
    assert values.max() <= high
    unit = (values - low) / (high - low)
    for power in (1, 2, 3, 4):
        check_mean(unit**power, 1 / (power + 1))


def test_a_box_is_filled_evenly() -> None:
    x = inside(BOX)
    for column, low, high in zip(x.T, BOX.lower, BOX.upper, strict=True):
        check_uniform(column, low, high)
    correlation = np.corrcoef(x.T) - np.eye(3)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(POINTS)


def test_every_face_of_a_box_is_as_likely() -> None:
    x = on_boundary(BOX)
    ends = np.stack([x == BOX.lower, x == BOX.upper])
    assert (ends.any(axis=0).sum(axis=1) >= 1).all()
    for face in ends.transpose(0, 2, 1).reshape(6, POINTS):
        check_mean(face.astype(float), 1 / 6)
    # On one face the other coordinates are uniform.
    check_uniform(x[ends[1, :, 0], 1], -1, 3)


def test_copies_repeat_the_ranges() -> None:
    box = Box((0.0, 1.0), (2.0, 3.0), copies=2)
    x = np.asarray(box.sample_interior(50, key=make_key(0)))
    assert box.dim == 4
    assert (np.floor(x) == [0, 2, 0, 2]).all()


@pytest.mark.parametrize("ends", [(1.0, 1.0), (2.0, -1.0), (0.0, float("nan"))])
def test_an_empty_range_is_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="is empty; write the lower end first"):
        Box((0.0, 1.0), ends)


def test_a_ball_is_filled_evenly_in_radius_and_direction() -> None:
    x = inside(Ball(3, 2.0))
    lengths = np.linalg.norm(x, axis=1)
    check_uniform(lengths, 0, 2 * (1 + 1e-6))
    # A coordinate of a uniform direction in three dimensions is uniform (Archimedes).
    check_uniform(np.clip(x[:, 1] / lengths, -1, 1), -1, 1)
    np.testing.assert_allclose(np.linalg.norm(on_boundary(Ball(3, 2.0)), axis=1), 2, rtol=1e-6)


def test_the_whole_space_has_normal_points_and_no_boundary() -> None:
    x = inside(Gaussian(3, 0.5)) / 0.5
    for column in x.T:
        for power, moment in zip((1, 2, 3, 4), (0, 1, 0, 3), strict=True):
            check_mean(column**power, moment)
    with pytest.raises(ValueError, match="no boundary"):
        on_boundary(Gaussian(3))


def test_a_product_has_a_part_in_each_domain() -> None:
    x = inside(WHOLE)
    assert WHOLE.dim == 6
    check_uniform(x[:, 0], 0, 1)
    check_uniform(np.linalg.norm(x[:, 1:4], axis=1), 0, 2 * (1 + 1e-6))
    check_mean(x[:, 4] ** 2, 0.25)
    assert np.abs(np.corrcoef(x.T) - np.eye(6)).max() < 4.5 / np.sqrt(POINTS)


@pytest.mark.parametrize("part", [0, 1])
def test_a_face_of_a_product(part: int) -> None:
    x = np.asarray(WHOLE.sample_face(part, POINTS, key=make_key(3)), np.float64)
    lengths = np.linalg.norm(x[:, 1:4], axis=1)
    if part == 0:
        assert set(x[:, 0]) == {0.0, 1.0}
        check_mean(x[:, 0], 0.5)
        check_uniform(lengths, 0, 2 * (1 + 1e-6))
    else:
        np.testing.assert_allclose(lengths, 2, rtol=1e-6)
        check_uniform(x[:, 0], 0, 1)
    check_mean(x[:, 5], 0)


def test_a_face_without_boundary_is_refused() -> None:
    with pytest.raises(ValueError, match="no boundary"):
        WHOLE.sample_face(2, 5, key=make_key(0))


def test_every_part_of_a_product_is_as_likely_on_its_boundary() -> None:
    x = on_boundary(Product(Box((0.0, 1.0)), Ball(3, 2.0)))
    ends = (x[:, 0] == 0) | (x[:, 0] == 1)
    sphere = np.abs(np.linalg.norm(x[:, 1:], axis=1) - 2) < 1e-5
    assert (ends | sphere).all()
    check_mean(ends.astype(float), 0.5)


@pytest.mark.parametrize("domain", [BOX, Ball(3, 2.0), Gaussian(2, 0.5), WHOLE], ids=repr)
def test_spread_is_the_standard_deviation_of_each_coordinate(domain: AbstractDomain) -> None:
    x = inside(domain)
    spread = np.broadcast_to(domain.spread, domain.dim)
    for column, deviation in zip((x - x.mean(axis=0)).T, spread, strict=True):
        check_mean(column**2, deviation**2)


@pytest.mark.parametrize("domain", [BOX, Ball(3, 2.0), Gaussian(2, 0.5), WHOLE], ids=repr)
def test_the_extent_holds_the_points_and_little_else(domain: AbstractDomain) -> None:
    x = inside(domain)
    low, high = np.asarray(domain.extent)
    within = (low <= x) & (x <= high)
    assert (within.mean(axis=0) > 0.99).all()
    assert (x.max(axis=0) - x.min(axis=0) > 0.9 * (high - low)).all()


@pytest.mark.parametrize("domain", [BOX, Ball(3), Gaussian(2), WHOLE], ids=repr)
def test_the_same_key_draws_the_same_points(domain: AbstractDomain) -> None:
    assert np.array_equal(inside(domain), inside(domain))
    assert not np.array_equal(inside(domain), inside(domain, seed=1))


@pytest.mark.parametrize("domain", [BOX, Ball(3, 2.0), Gaussian(2, 0.5), WHOLE], ids=repr)
def test_a_domain_contains_its_points_and_no_others(domain: AbstractDomain) -> None:
    within = jax.vmap(domain.contains)
    x = domain.sample_interior(POINTS, key=make_key(0))
    assert within(x).all()
    if domain is not WHOLE and not isinstance(domain, Gaussian):
        assert within(domain.sample_boundary(POINTS, key=make_key(1))).all()
    if not isinstance(domain, Gaussian):
        assert not within(x.at[:, 0].add(10.0)).any()
        assert not within(x.at[:, 0].add(-10.0)).any()


def test_rounding_takes_no_point_off_a_sphere_in_many_dimensions() -> None:
    ball = Ball(100_000)
    assert jax.vmap(ball.contains)(ball.sample_boundary(3, key=make_key(0))).all()
    assert not ball.contains(jnp.full(100_000, 1.01 / 100_000**0.5))


def test_copies_of_a_range_are_made_on_the_device() -> None:
    """Tracing a box of many dimensions handles as little as one of few."""

    def traced(copies: int):
        box = Box((0.0, 1.0), (2.0, 3.0), copies=copies)

        def all_of(key):
            x = box.sample_interior(3, key=key)
            return x, box.sample_boundary(3, key=key), box.contains(x[0]), box.spread

        return jax.make_jaxpr(all_of)(make_key(0))

    few, many = traced(2), traced(200_000)
    assert len(many.eqns) == len(few.eqns)
    assert all(jnp.size(constant) <= 4 for constant in many.consts)
