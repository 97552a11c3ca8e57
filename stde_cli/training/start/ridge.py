"""The few directions along which all that an equation gives varies, where there are such.

The gradients of the source lie in their span then, but for what the constraint adds: the dominant
right singular vectors of some gradients are the directions (active subspaces: Constantine, Dow and
Wang, SIAM J. Sci. Comput. 2014). A fit makes them exact.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from stde_cli.ansatz.partners import Partners
from stde_cli.ansatz.ridge import RidgePolynomials
from stde_cli.problem.domains import AbstractDomain
from stde_cli.problem.domains.base import ROUNDING
from stde_cli.problem.pdes import AbstractPDE
from stde_cli.system.types import Point, Points, PRNGKey, Scalar
from stde_cli.training.start.interactions import given, is_dense, where_u_is_known

_GRADIENTS, _FEWEST_GRADIENTS = 128, 16
_NUMBERS = 10_000_000
"""In all gradients together."""
_CLEAR = 0.02
"""The part that a direction must have of the gradients' mean square."""
_ENOUGH = 0.9
"""The part that all of them must have."""
_FEW = 0.1
"""So many directions, in units of the coordinates: any few of four hold much of what there is."""
_DEGREE = 32
_NEAR, _NEAR_WITHOUT_END, _FAR = 5.0, 6.0, 20.0
"""Deviations of s, beyond which hardly a point is drawn; the same where the domain has no end; and
the farthest that polynomials are to hold, where the domain goes so far."""
_WITHOUT_END = 1e6
"""Deviations of each coordinate: a domain that goes so far has no end."""
_BEYOND = 1.02
"""The end of what they are made for, in units of the farthest found. Where it is wider than what
the points cover, high degrees are told apart badly."""
_HALVINGS = 20
"""By which the end of the domain is found."""


def ridge_of(
    pde: AbstractPDE, directions: int, partners: Partners, *, key: PRNGKey
) -> RidgePolynomials | None:
    """Zero, of at most so many directions.

    Where the equation is of no such kind all weights are zero, and else those of directions that it
    has not. None where coordinates have names, such as t, for the polynomials would be of these as
    well, and where they are periodic, for a ridge has no period.

    Args:
        partners: what was found of pairs, which go first.
    """
    domain = pde.domain
    directions = min(directions, int(_FEW * domain.dim))
    if pde.layout.names or domain.circles or not directions:
        return None
    points_key, scale_key, reach_key = jax.random.split(key, 3)
    count = min(_GRADIENTS, max(_FEWEST_GRADIENTS, _NUMBERS // domain.dim))
    points = where_u_is_known(pde, count, key=points_key)
    gradients = lax.map(jax.grad(given(pde, key=scale_key)), points)
    weights = jnp.where(is_dense(partners), _dominant(gradients, directions), 0.0)
    deviations = jnp.sqrt(jnp.sum((weights * domain.spread) ** 2, axis=1))
    weights = weights / jnp.where(deviations > 0, deviations, 1.0)[:, None]
    centre = jnp.mean(domain.extent, axis=0)
    without_end = domain.contains(centre + _WITHOUT_END * domain.spread)
    far = jnp.where(without_end, _NEAR_WITHOUT_END, _FAR)
    readout = jnp.zeros((1 + _DEGREE,) * directions)
    largest = RidgePolynomials(weights / far, -weights @ centre / far, readout)
    ends = _moved(domain, largest, jnp.ones(count), key=reach_key)
    farthest = jnp.max(jnp.abs(jax.vmap(largest.inside)(ends)), axis=0)
    return largest.scaled(1 / (_BEYOND * jnp.maximum(farthest, _NEAR / far)))


def spread(
    domain: AbstractDomain, ridge: RidgePolynomials | None, points: int, *, key: PRNGKey
) -> Points:
    """Interior points, half of them moved along the directions to anywhere that is in the domain.

    Projections of points of many coordinates gather in the middle of what they can be: what a
    polynomial is further out would be left open. Without a ridge all stay.
    """
    if ridge is None:
        return domain.sample_interior(points, key=key)
    stay_key, move_key, parts_key = jax.random.split(key, 3)
    stay = points // 2
    parts = jax.random.uniform(parts_key, (points - stay,))
    moved = _moved(domain, ridge, parts, key=move_key)
    return jnp.concatenate([domain.sample_interior(stay, key=stay_key), moved])


def _moved(
    domain: AbstractDomain, ridge: RidgePolynomials, parts: Float[Array, " points"], *, key: PRNGKey
) -> Points:
    """Interior points moved along the directions, from one end of the domain (0) to the other (1).

    Straight on, and no farther than the polynomials reach: in a box that is to the first side.
    Points beyond that reach stay, and all do where there is no direction.
    """
    points_key, ways_key = jax.random.split(key)
    # The move that changes one s by one, of each: the shortest, in deviations of the coordinates.
    by_spread = ridge.weights * domain.spread**2
    moves = jnp.linalg.pinv(by_spread @ ridge.weights.T, hermitian=True) @ by_spread
    there = jnp.any(ridge.weights != 0, axis=1)
    ways = jnp.where(there, jax.random.normal(ways_key, (len(parts), len(moves))), 0.0)
    lengths = jnp.linalg.norm(ways, axis=1, keepdims=True)
    # Across a square of which a side is 2.
    longest = 2 * len(moves) ** 0.5
    ways = longest * ways / jnp.where(lengths > 0, lengths, 1.0)
    centre = jnp.mean(domain.extent, axis=0)

    def is_inside(x: Point) -> Bool[Array, ""]:
        # Not only but for rounding.
        wider = x + 3 * ROUNDING * (x - centre)
        return domain.contains(wider) & jnp.all(jnp.abs(ridge.inside(x)) <= 1)

    def moved(x: Point, way: Float[Array, " directions"], part: Scalar) -> Point:
        across = way @ moves

        def farthest(move: Point) -> Scalar:
            def halve(k: Int[Array, ""], length: Scalar) -> Scalar:
                longer = length + 0.5 ** (k + 1)
                return jnp.where(is_inside(x + longer * move), longer, length)

            return lax.fori_loop(0, _HALVINGS, halve, jnp.zeros(()))

        back, ahead = farthest(-across), farthest(across)
        move = (part * (back + ahead) - back) * across
        return jnp.where(is_inside(x), x + move, x)

    return jax.vmap(moved)(domain.sample_interior(len(parts), key=points_key), ways, parts)


def _dominant(
    gradients: Float[Array, "points family"], most: int
) -> Float[Array, "directions family"]:
    """Of length one; zero from the first on that is not clear, and where all explain too little."""
    squares, turn = (
        found[..., ::-1][..., :most] for found in jnp.linalg.eigh(gradients @ gradients.T)
    )
    total = jnp.sum(gradients**2)
    shares = squares / jnp.where(total > 0, total, 1.0)
    clear: Bool[Array, " directions"] = jnp.cumprod(shares > _CLEAR) > 0
    clear &= jnp.sum(jnp.where(clear, shares, 0.0)) > _ENOUGH
    rows = turn.T @ gradients
    lengths = jnp.linalg.norm(rows, axis=1, keepdims=True)
    return jnp.where(clear[:, None], rows / jnp.where(lengths > 0, lengths, 1.0), 0.0)
