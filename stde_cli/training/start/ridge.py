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
from stde_cli.problem.pdes import AbstractPDE
from stde_cli.system.types import Point, Points, PRNGKey, Scalar
from stde_cli.training.start.interactions import given, is_dense, where_u_is_known

_GRADIENTS, _LOOKS, _FEWEST = 128, 10_000, 16
"""Points at which directions are looked for, and how far they go."""
_NUMBERS = 10_000_000
"""In the coordinates of all of these together."""
_CLEAR = 0.02
"""The part that a direction must have of the gradients' mean square."""
_ENOUGH = 0.9
"""The part that all of them must have."""
_FEW = 0.1
"""So many directions, in units of the coordinates: any few of four hold much of what there is."""
_DEGREE = 32
_FAR = 20.0
"""Deviations of s: so far out polynomials are to hold, where the domain goes so far."""
_BEYOND = 1.02
"""The end of what they are made for, in units of the farthest found. Where it is wider than what
the points cover, high degrees are told apart badly: at 1.2 by some 1e-9, at 1.02 by 5e-5."""
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
    points_key, scale_key, middle_key, reach_key = jax.random.split(key, 4)
    room = max(_FEWEST, _NUMBERS // domain.dim)
    points = where_u_is_known(pde, min(_GRADIENTS, room), key=points_key)
    gradients = lax.map(jax.grad(given(pde, key=scale_key)), points)
    weights = jnp.where(is_dense(partners), _dominant(gradients, directions), 0.0)
    deviations = jnp.sqrt(jnp.sum((weights * domain.spread) ** 2, axis=1))
    weights = weights / jnp.where(deviations > 0, _FAR * deviations, 1.0)[:, None]
    looks = min(_LOOKS, room)
    offsets = -weights @ jnp.mean(domain.sample_interior(looks, key=middle_key), axis=0)
    far = RidgePolynomials(weights, offsets, jnp.zeros((1 + _DEGREE,) * directions))
    ends = _moved(domain, far, jnp.ones(looks), key=reach_key)
    reach = _BEYOND * jnp.max(jnp.abs(jax.vmap(far.inside)(ends)), axis=0)
    return far.scaled(jnp.where(reach > 0, 1 / reach, 0.0))


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

    No farther than the polynomials reach; where there is no direction they stay.
    """
    points_key, ways_key = jax.random.split(key)
    # The shortest move that changes one s by one, of each.
    moves = jnp.linalg.pinv(ridge.weights @ ridge.weights.T, hermitian=True) @ ridge.weights
    ways = jax.random.normal(ways_key, (len(parts), len(moves)))
    ways = ways / jnp.linalg.norm(ways, axis=1, keepdims=True)

    def is_inside(x: Point) -> Bool[Array, ""]:
        return domain.contains(x) & jnp.all(jnp.abs(ridge.inside(x)) <= 1)

    def moved(x: Point, way: Float[Array, " directions"], part: Scalar) -> Point:
        across = 2 * way @ moves

        def farthest(move: Point) -> Scalar:
            def halve(k: Int[Array, ""], length: Scalar) -> Scalar:
                longer = length + 0.5 ** (k + 1)
                return jnp.where(is_inside(x + longer * move), longer, length)

            return lax.fori_loop(0, _HALVINGS, halve, jnp.zeros(()))

        back, ahead = farthest(-across), farthest(across)
        return x + (part * (back + ahead) - back) * across

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
