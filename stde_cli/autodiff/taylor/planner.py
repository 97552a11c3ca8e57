"""Which Taylor polynomials to push through g: R^n -> R so that given partials can be read off.

Three families of pushes compete:

- positions: one curve whose tangent v_j is the coordinate placed at j, which puts the partial q on
  coefficient sum_t q_t j_t ([STDE] section 4);
- polarisation: curves a + eps v along small integer directions v (Griewank, Utke and Walther,
  "Evaluating higher derivative tensors by forward propagation of univariate Taylor series", 2000);
- multivariate: one polynomial with the coordinates as its unknowns, truncated to the partials that
  are needed; each coefficient is a partial.

The first two are one search: place the coordinates, all on 1 or on distinct positions, scale them
by small integers s_t, and every partial alpha that lands on the coefficient is multiplied by
s^alpha. As many scalings are combined as it takes to leave q alone.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import product
from math import gcd, prod
from typing import Literal, get_args

from stde_cli.autodiff.taylor.elimination import Span, read, read_all, rows_on
from stde_cli.autodiff.taylor.partitions import Index, partitions
from stde_cli.autodiff.taylor.pushes import Plan, Push, Reading, grid_size, landing_on, total_cost

Family = Literal["positions", "polarisation", "multivariate"]
FAMILIES: tuple[Family, ...] = get_args(Family)

HIGHEST_ORDER = 12
"""The highest order of a partial that `plan` accepts."""

_LONGEST_JET = 64
"""Where the search over positions gives up: prefactors there are beyond float32 anyway."""

_WIDEST = 40
"""The most partials on one coefficient that the search tries to tell apart."""

_LARGEST_GRID = 64
"""Above prod(q_t + 1) of this, plans with a choice are multivariate, without a search of seconds.

Nothing is lost to polarisation: the jets of order m that read q are at least
prod(q_t + 1) / (min q_t + 1) in number, over the coordinates of q (Carlini, Catalisano and
Geramita, "The solution to the Waring problem for monomials", 2012), so where there are two
coordinates or more they hold no fewer coefficients than the multivariate push.
"""


def plan(derivatives: Collection[Index], families: Collection[Family] = FAMILIES) -> Plan:
    """The cheapest plan found that reads all of `derivatives`; the readings are in their order.

    A derivative is a multi-index over n coordinates: u_xxxy over (t, x, y) is (0, 3, 1).
    The same input gives the same plan. Searches are cached.

    Raises:
        ValueError: no derivatives or families, an unknown family, derivatives that are not
            multi-indices of one length, an order of 0 or above 12, or a derivative too wide for
            univariate jets where these are all that is allowed.
    """
    wanted = tuple(dict.fromkeys(map(tuple, derivatives)))
    _check(wanted, families)
    if "multivariate" in families and max(map(grid_size, wanted)) > _LARGEST_GRID:
        families = ("multivariate",)
    allowed = tuple(family for family in FAMILIES if family in families)
    return _side_by_side(wanted, [_plan(part, allowed) for part in _apart(wanted)])


def _check(derivatives: tuple[Index, ...], families: Collection[Family]) -> None:
    if not derivatives:
        raise ValueError("plan() got no derivatives; give at least one multi-index, say (0, 3, 1)")
    if not families or not set(families) <= set(FAMILIES):
        raise ValueError(f"families={list(families)!r}; give one or more of {list(FAMILIES)}")
    if len({len(derivative) for derivative in derivatives}) > 1:
        raise ValueError(f"derivatives {derivatives}: give one count a coordinate in each of them")
    for derivative in derivatives:
        if min(derivative, default=-1) < 0:
            raise ValueError(f"derivative {derivative}: counts must be 0 or more")
        if not 1 <= sum(derivative) <= HIGHEST_ORDER:
            raise ValueError(
                f"derivative {derivative} has order {sum(derivative)}; plans are made for orders 1 "
                f"to {HIGHEST_ORDER}: leave u itself out, and lower an order above that"
            )


# Pushes: made in one normal form, so that equal ones are recognised, and joined.


@lru_cache(maxsize=100_000)
def _jet(positions: Index, scales: Index, at: Index, n: int, order: int) -> Push:
    """The jet of `order` whose tangent v_j sums s_t e_t over the coordinates t placed at j.

    Coordinates scaled by 0 are left out, and positions and order divided by their common divisor.
    Up to eps -> -eps, and up to the length of a lone direction.
    """
    kept = [(j, s, t) for j, s, t in zip(positions, scales, at, strict=True) if s]
    common = gcd(*(j for j, _, _ in kept))
    vectors: dict[int, list[int]] = {}
    for j, s, t in kept:
        vectors.setdefault(j // common, [0] * n)[t] = s
    odd = [s for j, s, _ in kept if j // common % 2]
    flip = -1 if odd and odd[0] < 0 else 1
    length = gcd(*(s for _, s, _ in kept)) if len(vectors) == 1 else 1
    seeds = (
        ((j,), tuple(flip**j * entry // length for entry in vector))
        for j, vector in sorted(vectors.items())
    )
    return Push(tuple(seeds), tuple((k,) for k in range(1, order // common + 1)))


def _box(derivatives: Iterable[Index]) -> Push:
    """The multivariate push of these partials and of all below them."""
    closed = {d for top in derivatives for d in product(*(range(count + 1) for count in top))}
    at = [t for t in range(len(next(iter(closed)))) if any(d[t] for d in closed)]
    units = (tuple(int(i == t) for t in at) for i in at)
    n = len(next(iter(closed)))
    vectors = (tuple(int(i == t) for i in range(n)) for t in at)
    kept = (tuple(d[t] for t in at) for d in closed if any(d))
    return Push(
        tuple(zip(units, vectors, strict=True)), tuple(sorted(kept, key=lambda d: (sum(d), d)))
    )


def _partials(push: Push) -> set[Index]:
    """The coefficients of a push along coordinate axes, as partials; empty for other pushes."""
    if all(sum(index) == 1 and sum(map(abs, vector)) == 1 for index, vector in push.seeds):
        return {next(iter(landing_on(push.seeds, index))) for index in push.indices}
    return set()


def _join(pushes: Iterable[Push], more: Iterable[Push]) -> tuple[Push, ...]:
    """Both, where pushes that share coefficients are one: the same curve, or the same axes."""
    joined = list(pushes)
    for push in more:
        partials = _partials(push)
        shared = [
            other
            for other in joined
            if other.seeds == push.seeds or not partials.isdisjoint(_partials(other))
        ]
        if partials:
            push = _box(partials.union(*map(_partials, shared)))
        else:
            push = max((push, *shared), key=lambda jet: len(jet.indices))
        joined = [other for other in joined if other not in shared] + [push]
    return tuple(joined)


# The search for one derivative.


def _active(derivative: Index) -> tuple[Index, Index]:
    """The coordinates that `derivative` differentiates, and how often each."""
    at = tuple(t for t, count in enumerate(derivative) if count)
    return at, tuple(derivative[t] for t in at)


def _landing(positions: Index, order: int) -> list[Index]:
    """The partials that land on coefficient `order`, as counts of the coordinates placed."""
    return list(partitions((order,), [(j,) for j in positions]))


def _weigh(scales: Index, counts: Index) -> int:
    return prod(s**count for s, count in zip(scales, counts, strict=True))


@lru_cache(maxsize=10_000)
def _symmetric(derivative: Index, positions: Index) -> tuple[Push, ...] | None:
    """Jets that isolate `derivative`, taken in whole orbits under changes of sign.

    Summed over an orbit with the signs of `derivative`, only the partials of its parities are
    left, so few orbits are needed. The grid of q_t + 1 scales a coordinate, symmetric about 0, is
    always enough: it isolates s_t^q_t from lower powers, and any other partial on the same
    coefficient has a lower power somewhere (for polarisation: Kan, "From moments of sum to
    moments of product", 2008). Fewer jets are looked for among all small scales.
    """
    _, powers = _active(derivative)
    grid = [range(count % 2, (count + 1) // 2 + 1) for count in powers]
    cubes = [[range(largest + 1)] * len(powers) for largest in (1, 2, 3)]
    found = (_isolate(derivative, positions, scales) for scales in cubes)
    options = _isolate(derivative, positions, grid), next(filter(None, found), None)
    return min(filter(None, options), key=total_cost, default=None)


def _isolate(derivative, positions, scales_each: Sequence[range]) -> tuple[Push, ...] | None:
    at, powers = _active(derivative)
    order = sum(j * count for j, count in zip(positions, powers, strict=True))
    landing = _landing(positions, order)
    like = [c for c in landing if all((a - b) % 2 == 0 for a, b in zip(c, powers, strict=True))]
    if len(like) > _WIDEST:
        return None
    orbits = {}
    for scales in product(*scales_each):
        row = {c: weight for c in like if (weight := _weigh(scales, c))}
        if not row:
            continue
        jets = {}
        for signs in product((1, -1), repeat=len(at)):
            signed = tuple(a * b for a, b in zip(signs, scales, strict=True))
            seen = [_weigh(signed, c) for c in landing]
            flip = next(1 if weight > 0 else -1 for weight in seen if weight)
            jet = _jet(positions, signed, at, len(derivative), order)
            jets.setdefault(tuple(flip * weight for weight in seen), jet)
        key = tuple(dict.fromkeys(jets.values()))
        size = sum(scales), -sum(map(int.__mul__, scales, powers)), scales
        orbits.setdefault(key, (total_cost(key), size, row))
    span = Span()
    for jets, (_, _, row) in sorted(orbits.items(), key=lambda item: item[1][:2]):
        span.add(jets, row)
        if (found := span.express(powers)) is not None:
            return tuple(jet for orbit in found for jet in orbit)
    return None


def _single(derivative: Index, positions: Index, base: Sequence[Push]) -> tuple[Push, ...] | None:
    """Jets that isolate `derivative` together with `base`, taken one by one, cheap ones first."""
    at, powers = _active(derivative)
    order = sum(j * count for j, count in zip(positions, powers, strict=True))
    landing = _landing(positions, order)
    if len(landing) > _WIDEST:
        return None
    columns = []
    for counts in landing:
        column = [0] * len(derivative)
        for t, count in zip(at, counts, strict=True):
            column[t] = count
        columns.append(tuple(column))
    known = rows_on(base, columns)
    held = total_cost(base)
    for largest in (1, 2, 3):
        jets: dict[Push, tuple] = {}
        for scales in product(range(-largest, largest + 1), repeat=len(at)):
            if any(_weigh(scales, counts) for counts in landing):
                jet = _jet(positions, scales, at, len(derivative), order)
                size = sum(map(abs, scales)), tuple(-s for s in scales)
                jets[jet] = min(size, jets.get(jet, size))
        priced = sorted(
            (total_cost(_join(base, [jet])) - held, size, jet) for jet, size in jets.items()
        )
        span = Span()
        for name, row in known:
            span.add(name, row)
        for _, _, jet in priced:
            span.add(jet, landing_on(jet.seeds, jet.indices[-1]))
            if (found := span.express(derivative)) is not None:
                return tuple(name for name in found if isinstance(name, Push))
    return None


def _placements(powers: Index, order: int) -> Iterator[Index]:
    """Distinct positions j without common divisor, sum powers_t j_t = order.

    Coordinates of equal power are placed in ascending order.
    """

    def place(placed: Index, rest: int) -> Iterator[Index]:
        t = len(placed)
        if t == len(powers):
            if rest == 0 and gcd(*placed) == 1:
                yield placed
            return
        least = max((j for j, p in zip(placed, powers, strict=False) if p == powers[t]), default=0)
        last = t == len(powers) - 1
        for j in [rest // powers[t]] if last else range(least + 1, rest // powers[t] + 1):
            if j > least and j not in placed:
                yield from place((*placed, j), rest - powers[t] * j)

    return place((), order)


def _crowd(positions: Index, order: int) -> int:
    """How many partials land on coefficient `order`: len(_landing(positions, order)), faster."""
    ways = [1] + [0] * order
    for j in positions:
        for total in range(j, order + 1):
            ways[total] += ways[total - j]
    return ways[order]


@lru_cache(maxsize=10_000)
def _positions(derivative: Index) -> tuple[Index, ...]:
    """The placements that read `derivative` most cheaply by themselves, the best four.

    Of the placements on one order the least crowded two are tried. The search ends where a single
    jet costs more than the best set found, or is more than twice as long.
    """
    _, powers = _active(derivative)
    found: list[tuple[float, int, Index]] = []
    for order in range(1, _LONGEST_JET + 1):
        jet = _jet((1,), (1,), (0,), 1, order)
        if found and (jet.cost >= min(found)[0] or order > 2 * min(found)[1]):
            break
        crowds = sorted(
            (_crowd(positions, order), positions) for positions in _placements(powers, order)
        )
        for _, positions in crowds[:2]:
            options = _by_placement(derivative, positions, ())
            found += [(total_cost(jets), order, positions) for jets in options]
    best = dict.fromkeys(positions for _, _, positions in sorted(found))
    return tuple(best)[:4]


def _by_placement(derivative, positions, base) -> Iterator[tuple[Push, ...]]:
    for jets in (_symmetric(derivative, positions), _single(derivative, positions, base)):
        if jets is not None:
            yield jets


def _candidates(derivative: Index, families, base) -> Iterator[tuple[Push, ...]]:
    """Sets of pushes that read `derivative` together with `base`."""
    if "multivariate" in families:
        yield (_box([derivative]),)
    if "polarisation" in families:
        yield from _by_placement(derivative, (1,) * len(_active(derivative)[0]), base)
    if "positions" in families:
        for positions in _positions(derivative):
            yield from _by_placement(derivative, positions, base)


# The search for several derivatives.


def _apart(derivatives: Sequence[Index]) -> list[tuple[Index, ...]]:
    """Parts that share no coordinate: no push reads derivatives of two of them."""
    active = {derivative: set(_active(derivative)[0]) for derivative in derivatives}
    connected: list[set[int]] = []
    for coordinates in active.values():
        linked = [other for other in connected if not coordinates.isdisjoint(other)]
        rest = [other for other in connected if other not in linked]
        connected = [*rest, coordinates.union(*linked)]
    return [
        tuple(derivative for derivative, at in active.items() if at <= coordinates)
        for coordinates in connected
    ]


def _side_by_side(derivatives: Sequence[Index], parts: Sequence[Plan]) -> Plan:
    """The plan of all parts, its readings in the order of `derivatives`."""
    if len(parts) == 1:
        return parts[0]
    pushes = sorted((push for part in parts for push in part.pushes), key=_by_cost)
    number = {push: at for at, push in enumerate(pushes)}
    readings = {
        reading.derivative: tuple(
            (fraction, number[part.pushes[at]], index) for fraction, at, index in reading.terms
        )
        for part in parts
        for reading in part.readings
    }
    return Plan(tuple(pushes), tuple(Reading(d, readings[d]) for d in derivatives))


def _by_cost(push: Push) -> tuple:
    return -push.cost, push.seeds


@lru_cache(maxsize=1_000)
def _plan(derivatives: tuple[Index, ...], families: tuple[Family, ...]) -> Plan:
    """The cheapest of: each derivative by its least marginal cost, each by itself, one family."""
    plans = [_finish(derivatives, _greedy(derivatives, families))]
    if len(derivatives) > 1:
        alone = ()
        for derivative in derivatives:
            alone = _join(alone, _plan((derivative,), families).pushes)
        plans.append(_finish(derivatives, alone))
    if len(families) > 1:
        for family in families:
            with suppress(ValueError):  # A family may not manage alone.
                plans.append(_plan(derivatives, (family,)))
    return min(plans, key=lambda option: (option.cost, len(option.pushes)))


def _greedy(derivatives: tuple[Index, ...], families) -> tuple[Push, ...]:
    """Highest order first, each by the candidate that adds least to the cost of those before."""
    base: tuple[Push, ...] = ()
    for derivative in sorted(derivatives, key=lambda d: (-sum(d), d)):
        if read(base, derivative) is None:
            options = [_join(base, pushes) for pushes in _candidates(derivative, families, base)]
            if not options:
                raise ValueError(
                    f"derivative {derivative}: too many partials to tell apart by jets of "
                    f"{list(families)}; allow the family multivariate"
                )
            base = min(options, key=lambda pushes: (total_cost(pushes), len(pushes)))
    return base


def _finish(derivatives: tuple[Index, ...], pushes: tuple[Push, ...]) -> Plan:
    """Drop the pushes that no derivative needs, then the coefficients that no reading needs."""
    for push in sorted(pushes, key=lambda push: -push.cost):
        fewer = tuple(other for other in pushes if other != push)
        if read_all(fewer, derivatives) is not None:
            pushes = fewer
    readings = read_all(pushes, derivatives) or []
    used = {term[1:] for reading in readings for term in reading.terms}
    trimmed = [
        _trim(push, [index for index in push.indices if (number, index) in used])
        for number, push in enumerate(pushes)
    ]
    pushes = tuple(sorted(trimmed, key=_by_cost))
    return Plan(pushes, tuple(read_all(pushes, derivatives) or []))


def _trim(push: Push, used: Sequence[Index]) -> Push:
    if _partials(push):
        return _box(next(iter(landing_on(push.seeds, index))) for index in used)
    return Push(push.seeds, push.indices[: max(used)[0]])
