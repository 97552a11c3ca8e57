"""Which coordinates of a family stand together in a polynomial, where these are not neighbours."""

from collections.abc import Collection, Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int


class Partners(eqx.Module):
    """A row for each coordinate of a family: itself, and others that it stands together with.

    A pair is in one of the two rows alone, so that no monomial of two or three coordinates occurs
    twice. The numbers count within the family; its size stands for none.
    """

    members: Int[Array, "family others"]
    """The others in each row."""
    holders: Int[Array, "family holders"]
    """Where each coordinate is one of the others: place * family + row, filled up with
    others * family."""
    explained: Float[Array, ""]
    """Of what couples in an equation the part that pairs explain; 1 where they are given."""
    low_rank: Float[Array, ""]
    """The part that few directions explain, as those of a ridge; 0 where pairs are given."""

    @property
    def pairs(self) -> Int[Array, ""]:
        """How many there are."""
        return jnp.sum(self.members < len(self.members))


def neighbours(family: int, others: int) -> Partners:
    """Row m holds m + 1, ..., m + others, as far as the family goes."""
    rows, places = jnp.arange(family), jnp.arange(others)
    members = jnp.minimum(rows[:, None] + 1 + places, family)
    before = rows[:, None] - 1 - places
    holders = jnp.where(before >= 0, places * family + before, others * family)
    return _given(members, holders)


def of_cliques(family: int, cliques: Sequence[Collection[int]]) -> Partners:
    """Rows such that each clique is within one of them.

    Coordinates are taken out one by one, always one with the fewest left beside it: these are its
    row (Matula and Beck, "Smallest-last ordering", JACM 1983). So rows are as short as can be.
    """
    beside: dict[int, set[int]] = {m: set() for clique in cliques for m in clique}
    for clique in cliques:
        for m in clique:
            beside[m] |= set(clique) - {m}
    rows: dict[int, list[int]] = {}
    by_count: dict[int, set[int]] = {}
    for m, others in beside.items():
        by_count.setdefault(len(others), set()).add(m)
    while by_count:
        fewest = min(by_count)
        m = by_count[fewest].pop()
        rows[m] = sorted(beside[m])
        for other in rows[m]:
            by_count[len(beside[other])].discard(other)
            beside[other].discard(m)
            by_count.setdefault(len(beside[other]), set()).add(other)
        by_count = {count: left for count, left in by_count.items() if left}
    members = np.full((family, max(map(len, rows.values()), default=0)), family)
    held: dict[int, list[int]] = {}
    for m, others in rows.items():
        members[m, : len(others)] = others
        for place, other in enumerate(others):
            held.setdefault(other, []).append(place * family + m)
    holders = np.full((family, max(map(len, held.values()), default=0)), members.size)
    for m, where in held.items():
        holders[m, : len(where)] = where
    return _given(members, holders)


def _given(members: ArrayLike, holders: ArrayLike) -> Partners:
    tables = (jnp.asarray(table, jnp.int32) for table in (members, holders))
    return Partners(*tables, explained=jnp.ones(()), low_rank=jnp.zeros(()))
