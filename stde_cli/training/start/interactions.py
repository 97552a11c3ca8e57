"""Which coordinates occur together, found from what an equation gives: never from its solution.

A term in a few coordinates leaves its mark in the Hessian of the source, which is sparse then, but
for its diagonal and for a part of low rank: of products with |x|^2, and of powers of u. The sparse
part is read off products with vectors, as in group testing. For a random bucket of coordinates b
take v with random signs there and zeros elsewhere. A row of H v with one partner j in the bucket
is H_ij v_j. Times the digits of its coordinates' numbers it is H_ij v_j times the digits of j: the
ratios name j. Noise seldom does so with digits that are whole, and a number that is in the bucket.

The part of low rank is taken off beforehand. Its range is found by power iterations (Halko,
Martinsson and Tropp 2011) on the Hessian without its diagonal, which the products show as well.
"""

from collections.abc import Callable, Sequence
from math import ceil, log
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from stde_cli.ansatz.guess import Guess
from stde_cli.ansatz.hard_constraint import Zero
from stde_cli.ansatz.partners import Partners, neighbours, of_cliques
from stde_cli.estimators import Exact
from stde_cli.expressions import Layout
from stde_cli.objective.sampled_residual import SampledCondition
from stde_cli.problem.operators import KnowsLaplacian
from stde_cli.problem.pdes import AbstractPDE
from stde_cli.system.errors import UsageError
from stde_cli.system.ranges import LARGEST_WINDOW
from stde_cli.system.types import Points, PRNGKey, Scalar, ScalarField

_KEY = "start.interactions"
_POINTS = 4
_BUCKETS = 16
_BASE = 8
"""Digits are below that: the larger, the fewer products, and the less noise they stand."""
_WHOLE = 0.4
"""How near a ratio is to a digit."""
_VOTES = 2
"""How often a pair is named at least, from both sides together."""
_MOST = 8
"""Partners of a coordinate."""
_RANK, _ITERATIONS, _CLEAR = 4, 3, 2.0
"""Singular values that many times the first beyond the rank are no sparse matrix's."""
_ROUNDING = 2e-3
"""Of the mean square of the products, what is left where all is of low rank."""
_ENOUGH = 0.5
"""Of the mean square of the products, which pairs must explain: otherwise there are none."""
_WEAK, _STRONG = 0.01, 0.1
"""Of the usual strength: below the first pairs are left out, below the second they come last."""
_NEAR = 0.9
"""Of the pairs, when they count as those of neighbours."""
_FEW = 0.02
"""Of coordinates that take what they can where none can take all."""
_FEWEST_ROUNDS, _OPERATIONS = 200, 30_000_000
_AT_ONCE = 256


class Pairs(NamedTuple):
    """Partners of each coordinate, the strongest first; the size of the family stands for none."""

    partners: Int[Array, "family most"]
    strengths: Float[Array, "family most"]
    """The Hessian's entry, relative to what is usual among them."""
    explained: Scalar
    """Part that they make up of the mean square of products without diagonal and low rank."""
    low_rank: Scalar | float = 0.0
    """Part of the mean square of products without diagonal that a matrix of low rank makes up."""


def found(pde: AbstractPDE, others: int, *, key: PRNGKey) -> Partners:
    """At most so many partners a row; neighbours where pairs explain little, or are theirs."""
    points_key, scale_key, pairs_key, order_key = jax.random.split(key, 4)
    points = where_u_is_known(pde, _POINTS, key=points_key)
    pairs = pairs_of(given(pde, key=scale_key), points, pde.layout.family_range, key=pairs_key)
    partners = arranged(pairs, others, key=order_key)
    apart = jnp.abs(partners.members - jnp.arange(len(partners.members))[:, None])
    near = jnp.sum((apart <= others) & (partners.members < len(partners.members)))
    # Of neighbours none is left out, also where not all are found.
    beyond = near < _NEAR * partners.pairs
    holds = (pairs.explained > _ENOUGH) & (partners.pairs > 0) & beyond
    usual = neighbours(len(pde.layout.family_range), others)
    held = jnp.full_like(partners.holders, usual.members.size)
    holders = held.at[:, :others].set(usual.holders)
    usual = Partners(usual.members, holders, partners.explained, partners.low_rank)
    return jax.tree.map(lambda one, other: jnp.where(holds, one, other), partners, usual)


def listed(cliques: Sequence[Sequence[int | str]], layout: Layout) -> Partners:
    """Partners of coordinates that are told by number, from 1, or by name.

    Single coordinates stand with all others in any case.

    Raises:
        UsageError: one is not there, is told twice in one list, or stands with too many.
    """
    found = []
    for number, clique in enumerate(cliques):
        where = f"{_KEY}[{number}]"
        positions = [_position(told, layout, f"{where}[{k}]") for k, told in enumerate(clique)]
        for k, position in enumerate(positions):
            if position in positions[:k]:
                why = f"{layout.label(position)} occurs twice in it"
                raise UsageError(where, list(clique), why, "leave one out")
        family = layout.family_range
        found.append([p - family.start for p in positions if p in family])
    partners = of_cliques(len(layout.family_range), found)
    if (together := 1 + partners.members.shape[1]) > LARGEST_WINDOW:
        why = f"{together} coordinates would stand in one polynomial"
        raise UsageError(_KEY, None, why, f"list {LARGEST_WINDOW} together at most")
    return partners


def _position(told: int | str, layout: Layout, where: str) -> int:
    if isinstance(told, str):
        readings = layout.readings(told)
        if len(readings) == 1 and len(readings[0]) == 1:
            return readings[0][0]
        raise UsageError(where, told, "is no coordinate", f"name one, such as {layout.label(0)}")
    family = layout.family_range
    if not 1 <= told <= len(family):
        why = f"the coordinates with numbers are 1 to {len(family)}"
        raise UsageError(where, told, why if family else "no coordinates have numbers")
    return family[told - 1]


def is_dense(partners: Partners) -> Array:
    """Whether few directions of all coordinates explain what couples, and pairs do not."""
    return (partners.low_rank > _ENOUGH) & (partners.explained <= _ENOUGH)


def told(guess: KnowsLaplacian | None) -> str | None:
    """What was found, in words; None of a guess that nothing was looked for."""
    partners = guess.polynomials.partners if isinstance(guess, Guess) else None
    if partners is None:
        return None
    explained, pairs = float(partners.explained), int(partners.pairs)
    usual = neighbours(*partners.members.shape).members
    if not np.array_equal(partners.members, usual):
        return f"interactions: {pairs:,} pairs of {len(usual):,} coordinates"
    if explained > _ENOUGH:
        return "interactions: of neighbours"
    ridge = guess.ridge if isinstance(guess, Guess) else None
    if ridge is not None and (along := int(ridge.along)):
        plural = "s" if along > 1 else ""
        return f"interactions: of all along {along} direction{plural}; polynomials are of these"
    none = "of all along a few directions" if bool(is_dense(partners)) else "no pairs found"
    return f"interactions: {none}; polynomials are of neighbours"


def given(pde: AbstractPDE, *, key: PRNGKey) -> ScalarField:
    """A sum of all that is given: source, lift and conditions' values, each of mean square 1."""
    no_key = jax.random.key(0)

    def asked(condition: SampledCondition) -> ScalarField:
        return lambda x: jnp.sum(condition.at(Zero(), x[None], key=no_key))

    parts: list[ScalarField] = [pde.source, *([] if pde.lift is None else [pde.lift])]
    parts += [asked(SampledCondition(condition, Exact())) for condition in pde.conditions]
    x = pde.domain.sample_interior(_POINTS, key=key)
    squares = [jnp.mean(lax.map(part, x) ** 2) for part in parts]
    factors = [jnp.where(square > 0, lax.rsqrt(square), 0.0) for square in squares]
    return lambda x: sum((f * p(x) for f, p in zip(factors, parts, strict=True)), 0 * x[0])


def where_u_is_known(pde: AbstractPDE, points: int, *, key: PRNGKey) -> Points:
    """Powers of u are small there, and with them what is dense."""
    try:
        return pde.domain.sample_boundary(points, key=key)
    except ValueError:
        return pde.domain.sample_interior(points, key=key)


def pairs_of(field: ScalarField, points: Points, family: range, *, key: PRNGKey) -> Pairs:
    """By _BUCKETS (1 + digits) + 2 _RANK _ITERATIONS products with the Hessian a point."""
    count = len(family)
    span = slice(family.start, family.stop)

    def at_point(
        given: tuple[Float[Array, " dim"], PRNGKey],
    ) -> tuple[Int[Array, "..."], Float[Array, "..."], Float[Array, "..."], Int[Array, "..."]]:
        x, key = given
        bucket_key, sign_key, range_key = jax.random.split(key, 3)
        _, forward = jax.linearize(jax.grad(field), x)

        def times(v: Float[Array, " family"]) -> Float[Array, " family"]:
            return forward(jnp.zeros_like(x).at[span].set(v))[span]

        bucket = jax.random.randint(bucket_key, (count,), 0, _BUCKETS)
        signs = jax.random.rademacher(sign_key, (count,), x.dtype)
        codes, shift = _digits(count, x.dtype)
        vectors = jnp.arange(_BUCKETS * len(codes))
        products = lax.map(
            lambda k: times(codes[k % len(codes)] * signs * (bucket == k // len(codes))), vectors
        ).reshape(_BUCKETS, len(codes), count)
        # Entry i is H_ii and the sum over its bucket's other coordinates, of random signs.
        own = signs * products[bucket, 0, jnp.arange(count)]
        low = _low_rank(times, own, bucket, signs, key=range_key)

        def read(
            given: tuple[Int[Array, ""], Float[Array, "codes family"]],
        ) -> tuple[Int[Array, " family"], Float[Array, " family"], Scalar]:
            b, y = given
            inside = bucket == b
            y = jnp.where(inside, 0.0, y)
            whole_size = jnp.sum(y[0] ** 2)
            # By least squares in the rows outside of the bucket. A row of zeros counts for nothing.
            outside = jnp.where(inside, 0.0, low)
            gram = outside @ outside.T + jnp.diag(1.0 - jnp.sum(low**2, axis=1))
            y = y - jnp.linalg.solve(gram, outside @ y.T).T @ outside
            digits = y[1:] / jnp.where(y[0] == 0, jnp.inf, y[0]) + shift
            whole = jnp.round(digits)
            near = (jnp.abs(digits - whole) < _WHOLE) & (whole >= 0) & (whole <= 2 * shift)
            usable = jnp.all(near, axis=0) & (y[0] != 0)
            powers = jnp.asarray([round(2 * shift + 1) ** k for k in range(len(digits))], jnp.int32)
            number = powers @ jnp.where(usable, whole, 0).astype(jnp.int32)
            named = jnp.minimum(number, count - 1)
            usable &= (number < count) & (bucket[named] == b) & ~inside
            return jnp.where(usable, named, count), y[0], whole_size

        return *lax.map(read, (jnp.arange(_BUCKETS), products)), bucket

    keys = jax.random.split(key, len(points))
    named, y, sizes, bucket = lax.map(at_point, (points, keys))
    left, sizes = jnp.sum(y**2, axis=(1, 2)), jnp.sum(sizes, axis=1)
    scale = lax.rsqrt(jnp.where(left > 0, left, 1.0))
    total = jnp.sum(sizes)
    low_rank = jnp.where(total > 0, 1 - jnp.sum(left) / jnp.where(total > 0, total, 1.0), 0.0)
    # What is left of low rank alone is rounding, and no pairs.
    y = y * jnp.where(left > _ROUNDING * sizes, scale, 0.0)[:, None, None]
    cells = len(points) * _BUCKETS
    named, y = (each.reshape(cells, count).T for each in (named, y))
    return _votes(named, y, bucket)._replace(low_rank=low_rank)


def _digits(count: int, dtype: jnp.dtype) -> tuple[Float[Array, "codes family"], float]:
    """Ones, and the digits of every number less their mean, which is told too."""
    digits = max(1, ceil(log(count) / log(_BASE) - 1e-9))
    base = max(2, ceil(count ** (1 / digits) - 1e-9))
    shift = (base - 1) / 2
    numbers = jnp.arange(count)
    codes = [(numbers // base**k % base).astype(dtype) - shift for k in range(digits)]
    return jnp.stack([jnp.ones(count, dtype), *codes]), shift


def _low_rank(
    times: Callable[[Array], Array],
    own: Float[Array, " family"],
    bucket: Int[Array, " family"],
    signs: Float[Array, " family"],
    *,
    key: PRNGKey,
) -> Float[Array, "rank family"]:
    """An orthonormal basis of a dominant range of low rank, of the matrix without its diagonal.

    Rows are zero where there is none. `own` is its diagonal, and what a bucket's others add.
    """
    count = bucket.size

    start = jax.random.rademacher(key, (min(2 * _RANK, count), count), signs.dtype)
    basis = _orthonormal(start)

    def iterate(
        carry: tuple[Float[Array, "sketch family"], Float[Array, "sketch sketch"]],
        _: None,
    ) -> tuple[tuple[Array, Array], Float[Array, " sketch"]]:
        basis, inner = carry
        # What the part of low rank found so far adds to the estimate of the diagonal.
        sums = jax.ops.segment_sum((signs * basis).T, bucket, _BUCKETS) @ inner
        others = signs * jnp.sum(sums[bucket] * basis.T, axis=1)
        others = others - jnp.sum((inner @ basis) * basis, axis=0)
        diagonal = own - others
        image = lax.map(times, basis) - diagonal * basis
        inner = basis @ image.T
        turned = _orthonormal(image)
        change = turned @ basis.T
        return (turned, change @ inner @ change.T), jnp.linalg.norm(image, axis=1)

    inner = jnp.zeros((len(basis), len(basis)), signs.dtype)
    (basis, inner), lengths = lax.scan(iterate, (basis, inner), None, length=_ITERATIONS)
    values, turn = jnp.linalg.eigh((inner + inner.T) / 2)
    order = jnp.argsort(-jnp.abs(values))
    sizes = jnp.sort(lengths[-1])[::-1]
    clear = sizes > _CLEAR * sizes[min(_RANK, len(sizes) - 1)]
    kept = clear & (jnp.arange(len(sizes)) < _RANK)
    return (turn[:, order].T @ basis) * kept[:, None]


def _orthonormal(rows: Float[Array, "rows family"]) -> Float[Array, "rows family"]:
    columns: Array = jnp.linalg.qr(rows.T, mode="reduced").Q
    return columns.T


def _votes(
    named: Int[Array, "family cells"],
    y: Float[Array, "family cells"],
    bucket: Int[Array, "points family"],
) -> Pairs:
    """Pairs that were named more than once, from either side, the strongest first."""
    count, cells = named.shape

    def row(
        each: tuple[Int[Array, ""], Int[Array, " cells"], Float[Array, " cells"]],
    ) -> tuple[Int[Array, " most"], Float[Array, " most"], Scalar]:
        number, names, sizes = each
        same = names[:, None] == names[None, :]
        back = named.at[names].get(mode="fill", fill_value=count) == number
        votes = jnp.sum(same, axis=1) + jnp.sum(back, axis=1)
        counted = (
            (names < count) & (votes >= _VOTES) & (jnp.argmax(same, axis=1) == jnp.arange(cells))
        )
        strength = jnp.sum(same * jnp.abs(sizes), axis=1) / jnp.sum(same, axis=1)
        strengths, places = lax.top_k(jnp.where(counted, strength, -1.0), _MOST)
        partners = jnp.where(strengths > 0, names[places], count)
        where = jnp.arange(len(bucket))[:, None] * _BUCKETS + bucket.at[:, partners].get(
            mode="fill", fill_value=cells
        )
        hit = jnp.zeros(cells, bool).at[where.ravel()].set(True, mode="drop")
        return partners, strengths, jnp.sum(jnp.where(hit, sizes**2, 0.0))

    rows = jnp.arange(count), named, y
    partners, strengths, explained = lax.map(row, rows, batch_size=min(_AT_ONCE, count))
    there = partners < count
    usual = jnp.sqrt(jnp.sum(jnp.where(there, strengths**2, 0.0)) / jnp.maximum(1, jnp.sum(there)))
    strengths = strengths / jnp.where(usual > 0, usual, 1.0)
    # In order of strength: those that are dropped are the last of their row.
    partners = jnp.where(strengths > _WEAK, partners, count)
    total = jnp.sum(y**2)
    return Pairs(partners, strengths, jnp.sum(explained) / jnp.where(total > 0, total, 1.0))


def arranged(pairs: Pairs, others: int, *, key: PRNGKey) -> Partners:
    """Each pair in the row of one of its two, with so many others at most.

    Coordinates with few enough pairs left take them, of those side by side the one with the highest
    random number: chains are taken from their ends on, so that three that are pairs each are in one
    row. Where none has few enough, a few take as many as they may. The weak come last.
    """
    partners, strengths = _both_ways(pairs)
    count = len(partners)
    numbers = jnp.arange(count)[:, None]
    # The place of each coordinate among the partners of its partner.
    back = _of(partners, partners, count) == numbers[:, :, None]
    paired, place = jnp.any(back, axis=2), jnp.argmax(back, axis=2)

    def of_partner(said: Bool[Array, "family most"]) -> Bool[Array, "family most"]:
        """What is said of each pair in the row of its partner."""
        return paired & said.at[partners, place].get(mode="fill", fill_value=False)

    strong = strengths > _STRONG
    strong |= of_partner(strong)
    rounds = max(_FEWEST_ROUNDS, min(count, _OPERATIONS // count))

    def free(taken: Bool[Array, "family most"]) -> Int[Array, " family"]:
        return others - jnp.sum(taken, axis=1)

    def unfinished(state: tuple[Array, Array, Array]) -> Bool[Array, ""]:
        turn, left, taken = state
        return (turn < rounds) & jnp.any(left & (free(taken) > 0)[:, None])

    def take(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        turn, left, taken = state
        room = free(taken)
        now = left & strong
        now = jnp.where(jnp.any(now & (room > 0)[:, None]), now, left)
        wanted = jnp.sum(now, axis=1)
        able = (wanted > 0) & (room > 0)
        whole = able & (wanted <= room)
        drawn = jax.random.uniform(jax.random.fold_in(key, turn), (count,))
        few = able & (drawn > jnp.max(jnp.where(able, drawn, 0.0)) - _FEW)
        able = jnp.where(jnp.any(whole), whole, few) | (able & (turn > rounds // 2))
        drawn = jnp.where(able, drawn, -1.0)
        highest = jnp.max(jnp.where(now, _of(partners, drawn, -1.0), -1.0), axis=1)
        chosen = able & (drawn > highest)
        new = now & chosen[:, None] & (jnp.cumsum(now, axis=1) <= room[:, None])
        return turn + 1, left & ~new & ~of_partner(new), taken | new

    start = jnp.zeros((), jnp.int32), paired, jnp.zeros_like(paired)
    _, _, taken = lax.while_loop(unfinished, take, start)
    # No one is held more often than there is room for.
    most = 2 * others
    held = of_partner(taken)
    held &= jnp.cumsum(held, axis=1) <= most
    taken &= of_partner(held)
    offset = jnp.cumsum(taken, axis=1) - 1
    members = jnp.full((count, others), count, jnp.int32)
    members = members.at[numbers, jnp.where(taken, offset, others)].set(partners, mode="drop")
    theirs = offset.at[partners, place].get(mode="fill", fill_value=0) * count + partners
    slot = jnp.where(held, jnp.cumsum(held, axis=1) - 1, most)
    holders = jnp.full((count, most), others * count, jnp.int32)
    holders = holders.at[numbers, slot].set(theirs.astype(jnp.int32), mode="drop")
    return Partners(members, holders, pairs.explained, jnp.asarray(pairs.low_rank))


def _both_ways(pairs: Pairs) -> tuple[Int[Array, "family most"], Float[Array, "family most"]]:
    """The same, with each pair in the rows of both where there is room: one more in each row."""
    partners, strengths = pairs.partners, pairs.strengths
    count = len(partners)
    numbers = jnp.arange(count)[:, None]
    back = _of(partners, partners, count) == numbers[:, :, None]
    alone = (partners < count) & ~jnp.any(back, axis=2)
    slot = _of(partners, jnp.sum(partners < count, axis=1), _MOST)
    place = jnp.where(alone, partners, count), slot
    added = jnp.broadcast_to(numbers, partners.shape)
    return (
        partners.at[place].set(added.astype(partners.dtype), mode="drop"),
        strengths.at[place].set(strengths, mode="drop"),
    )


def _of(partners: Int[Array, "family most"], values: Array, fill: float) -> Array:
    """A value for each coordinate, at each of the partners."""
    return values.at[partners].get(mode="fill", fill_value=fill)
