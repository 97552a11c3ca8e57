"""The few directions along which all that an equation gives varies, where there are such.

The gradients of the source lie in their span then, but for what the constraint adds: the dominant
right singular vectors of some gradients are the directions (active subspaces: Constantine, Dow and
Wang, SIAM J. Sci. Comput. 2014). A fit makes them exact.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from stde_cli.ansatz.partners import Partners
from stde_cli.ansatz.ridge import RidgePolynomials
from stde_cli.problem.pdes import AbstractPDE
from stde_cli.system.types import PRNGKey
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
DEGREE = 16


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
    points_key, scale_key, middle_key = jax.random.split(key, 3)
    count = min(_GRADIENTS, max(_FEWEST_GRADIENTS, _NUMBERS // domain.dim))
    points = where_u_is_known(pde, count, key=points_key)
    gradients = lax.map(jax.grad(given(pde, key=scale_key)), points)
    weights = jnp.where(is_dense(partners), _dominant(gradients, directions), 0.0)
    spread = jnp.sqrt(jnp.sum((weights * domain.spread) ** 2, axis=1))
    weights = weights / jnp.where(spread > 0, spread, 1.0)[:, None]
    middle = jnp.mean(domain.sample_interior(count, key=middle_key), axis=0)
    return RidgePolynomials(weights, -weights @ middle, jnp.zeros((1 + DEGREE,) * directions))


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
