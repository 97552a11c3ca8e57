"""How the operators that are estimated, not planned, are read: in words."""

import math
from collections import Counter
from collections.abc import Sequence

from stde_cli.expressions import (
    Derivative,
    Drift,
    GradForm,
    GradNorm2,
    Laplacian,
    Polyharmonic,
    SumOfPartials,
)
from stde_cli.expressions.nodes import Number

_ALONG = "nothing is sampled; one 1-jet along the vector: 1 coefficient a layer"
_TRACE = "r random directions; one collapsed 2-jet: r + 2 coefficients a layer"


def title(node: Derivative) -> str:
    """An operator as it is written, where that is short."""
    match node:
        case Polyharmonic(order=order) if order > 2:
            return f"polyharmonic(u, {order})"
        case Laplacian() | Polyharmonic() | GradNorm2():
            return f"{node.name}(u)"
    return node.name


def how_sampled(node: Derivative) -> str:
    """How the estimator reads an operator; r is estimator.batch."""
    match node:
        case Laplacian():
            return _TRACE
        case Polyharmonic(order=times):
            pairings = math.prod(range(1, 2 * times, 2))
            return (
                f"{_sets(times, 'directions')}; {_pushed([2] * times)}. With "
                f"estimator/sampler=gaussian r directions; "
                f"{_pushed([2 * times])} and divided by {pairings}"
            )
        case GradNorm2() | GradForm():
            return "nothing is sampled; the gradient by one reverse pass"
        case Drift():
            return _ALONG
        case SumOfPartials(targets=targets, fixed=fixed, indices=indices):
            powers = [*(target.order for target in targets), *Counter(fixed).values()]
            if powers == [1]:
                return _ALONG
            if powers == [2] and node.coefficient == Number(1):
                return _TRACE
            return f"{_sets(len(indices), 'coordinates')}; {_pushed(powers)}"
    return "random directions"


def _sets(size: int, what: str) -> str:
    of = {1: "", 2: "pairs of "}.get(size, f"sets of {size} ")
    return f"r {of}random {what}"


def _pushed(powers: Sequence[int]) -> str:
    """What is pushed for one set of directions."""
    if len(powers) == 1:
        return f"each a {powers[0]}-jet, coefficient {powers[0]} read"
    count = math.prod(power + 1 for power in powers) - 1
    index = f"({','.join(map(str, powers))})"
    return f"each a polynomial of {count} coefficients a layer, coefficient {index} read"
