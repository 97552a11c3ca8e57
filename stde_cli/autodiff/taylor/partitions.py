"""Faa di Bruno's formula in integers: what lands on a Taylor coefficient, and how often.

For gamma(eps) with derivatives v_l = D^l gamma(0) over multi-indices l of the unknowns eps,

    D^nu (g o gamma)(0) = sum over partitions nu = sum_l p_l l of
                          nu! / prod_l (p_l! (l!)^p_l) . D^(sum p_l) g (x)_l v_l^(x p_l)

([STDE] section 2; with several unknowns: Constantine and Savits, "A multivariate Faa di Bruno
formula", 1996). With one unknown a multi-index is (k,).
"""

from collections.abc import Iterable, Iterator, Sequence
from math import factorial, prod

Index = tuple[int, ...]
"""A multi-index: how often each coordinate, or each unknown, is differentiated."""


def partitions(whole: Index, parts: Sequence[Index]) -> Iterator[Index]:
    """Every way to write `whole` as a sum of `parts`, as the number of times each is used.

    The parts are non-zero and distinct. Those that use the first part most come first.
    """
    if not parts:
        if not any(whole):
            yield ()
        return
    first, *rest = parts
    most = min(w // p for w, p in zip(whole, first, strict=True) if p)
    for count in range(most, -1, -1):
        remainder = tuple(w - count * p for w, p in zip(whole, first, strict=True))
        if not rest and any(remainder):
            return
        for tail in partitions(remainder, rest):
            yield (count, *tail)


def multiplicity(parts: Sequence[Index], counts: Sequence[int]) -> int:
    """nu! / prod(p! (l!)^p): how many set partitions of nu = sum p l have this type."""
    whole = (sum(map(int.__mul__, counts, entries)) for entries in zip(*parts, strict=True))
    below = (factorial(c) * _factorial(part) ** c for part, c in zip(parts, counts, strict=True))
    return _factorial(whole) // prod(below)


def expand(vectors: Sequence[Sequence[int]], powers: Sequence[int]) -> dict[Index, int]:
    """The product over i of (vectors[i] . d)^powers[i], as derivative -> integer.

    So D^m g (x)_i v_i^(x p_i) = sum over derivatives of integer times partial of g, sum p_i = m.
    """
    product = {(0,) * len(vectors[0]): 1}
    for vector in (v for v, power in zip(vectors, powers, strict=True) for _ in range(power)):
        longer: dict[Index, int] = {}
        for derivative, factor in product.items():
            for i, entry in enumerate(vector):
                if entry:
                    raised = (*derivative[:i], derivative[i] + 1, *derivative[i + 1 :])
                    longer[raised] = longer.get(raised, 0) + factor * entry
        product = {derivative: factor for derivative, factor in longer.items() if factor}
    return product


def _factorial(index: Iterable[int]) -> int:
    return prod(map(factorial, index))
