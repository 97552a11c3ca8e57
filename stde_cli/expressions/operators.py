"""How sums, products of vectors and differential operators are read, one function each.

They take a reader and the call, and are found by name in `OPERATORS`.
"""

import ast

from stde_cli.expressions.algebra import (
    ONE,
    add,
    differentiate,
    divide,
    multiply,
    negative,
    partial,
    slope,
    slope_in_u,
    sum_over,
    targets,
)
from stde_cli.expressions.layout import is_reserved
from stde_cli.expressions.nodes import (
    Coordinate,
    Derivative,
    Drift,
    Entry,
    Extreme,
    GradForm,
    GradientEntry,
    GradNorm2,
    IndexList,
    Laplacian,
    Node,
    Parameter,
    Polyharmonic,
    Source,
    Sum,
    SumOfPartials,
    Trace,
    Unknown,
    contains,
    free,
)
from stde_cli.expressions.reader import Operator, Reader
from stde_cli.expressions.scope import Range, Vector

_MOST_NODES = 5_000


def _sum(reader: Reader, tree: ast.Call) -> Node:
    used, body = _over_index(reader, tree)
    return sum_over(used.lane, used.bounds, body)


def _extreme(reader: Reader, tree: ast.Call) -> Node:
    used, body = _over_index(reader, tree)
    name = ast.unparse(tree.func)
    if contains(body, (Derivative, Source, Unknown)):
        raise reader.fault(tree, f"{name} over an index takes functions of the point alone")
    if free(body) - {used.lane}:
        why = f"{name} over an index cannot stand within a sum whose index it uses"
        raise reader.fault(tree, why)
    return Extreme(name, used.lane, used.bounds, body, column=reader.column(tree))


def _over_index(reader: Reader, tree: ast.Call) -> tuple[Range, Node]:
    """An index and what is said for each of its numbers: of sum(i, ...), max(i, ...)."""
    reader.count(tree, 2)
    index, word = tree.args[0], ast.unparse(tree.func)
    if not isinstance(index, ast.Name):
        why = f"the first argument of {word} must be an index"
        raise reader.fault(index, why, f"write {word}(i, ...)")
    name = index.id
    if name in reader.scope.indices:
        raise reader.fault(index, f"the index {name} is in use already", "take another")
    if name in reader.scope.known() or is_reserved(name) or name.startswith("_"):
        raise reader.fault(
            index, f"{name} cannot be an index: it means something else", "take another"
        )
    with reader.scope.index(name) as used:
        body = reader.scalar(tree.args[1])
    if not used.used:
        raise reader.fault(
            index, f"the index {name} is not used", f"write x[{name}] within the {word}"
        )
    start, stop = used.bounds
    if start >= stop:
        raise reader.fault(
            tree, f"the {word} over {name} has no term", "offsets exceed the vectors"
        )
    _check_lengths(reader, tree, used)
    return used, body


def _check_lengths(reader: Reader, tree: ast.Call, used: Range) -> None:
    """An index list may not be cut short, or cut others short, but by the window's width."""
    lists = [item for item in used.used if item[0] in reader.scope.index_lists]
    offsets = [offset for _, _, offset in used.used]
    for name, length, _ in lists:
        for other, size, _ in used.used:
            if abs(length - size) > max(offsets) - min(offsets):
                why = f"{name} lists {length} entries, and {other} has {size}"
                raise reader.fault(tree, why, "give lists of the same length")


def _dot(reader: Reader, tree: ast.Call) -> Node:
    reader.count(tree, 2)
    gradients = [arg for arg in tree.args if _is_gradient(reader, arg)]
    if len(gradients) == 2:
        return GradNorm2(column=reader.column(tree))
    if gradients:
        other = next(arg for arg in tree.args if arg is not gradients[0])
        with reader.scope.fresh_lane() as lane:
            b = reader.vector(other)
        return _drift(reader, tree, lane, b)
    return _product(reader, tree, *tree.args)


def _product(reader: Reader, tree: ast.Call, a: ast.expr, b: ast.expr) -> Node:
    with reader.scope.fresh_lane() as lane:
        parts = reader.vector(a), reader.vector(b)
        product = reader.combine(tree, lambda *p: multiply(p), *parts)
    return sum_over(lane, (0, product.length), product.body)


def _drift(reader: Reader, tree: ast.Call, lane: str, b: Vector) -> Node:
    size = len(reader.scope.layout.space)
    if b.length != size:
        raise reader.fault(tree, f"the vector has {b.length} entries and the gradient {size}")
    if contains(b.body, (Derivative, Source)):
        raise reader.fault(tree, "the vector in a drift must be free of f and derivatives of u")
    outer = free(b.body) - {lane}
    if outer:
        raise reader.fault(tree, "a drift cannot stand in a sum that its vector depends on")
    return Drift(lane, b.body, column=reader.column(tree))


def _norm2(reader: Reader, tree: ast.Call) -> Node:
    reader.count(tree, 1)
    if _is_gradient(reader, tree.args[0]):
        return GradNorm2(column=reader.column(tree))
    return _product(reader, tree, tree.args[0], tree.args[0])


def _partial(reader: Reader, tree: ast.Call) -> Node:
    if len(tree.args) < 2:
        why = "partial takes u and the coordinates to differentiate in"
        raise reader.fault(tree, why, "write partial(u, x, x)")
    _u_itself(reader, tree)
    fixed: list[int] = []
    moving: list[tuple[str, int]] = []
    for argument in tree.args[1:]:
        match reader.read(argument):
            case Coordinate(position):
                fixed.append(position)
            case Entry(through=IndexList()):
                why = "u is differentiated at an index, not at what a list holds there"
                raise reader.fault(argument, why, "write x[i]")
            case Entry(index, offset):
                moving.append((index, offset))
            case _:
                raise reader.fault(argument, "u is differentiated in coordinates alone")
    if not moving:
        return partial(fixed, reader.scope.layout, reader.column(tree))
    column, count = reader.column(tree), len(reader.scope.layout.family_range)
    label = partial(fixed, reader.scope.layout, column).name.removeprefix("u_") if fixed else ""
    fixed.sort()
    return SumOfPartials((), (), targets(moving), tuple(fixed), ONE, label, count, column=column)


def _u_itself(reader: Reader, tree: ast.Call) -> None:
    """The first argument must be u."""
    reader.scope.need_u(tree)
    first = tree.args[0]
    if not (isinstance(first, ast.Name) and first.id == "u"):
        name = ast.unparse(tree.func)
        mend = {
            "laplacian": "write biharmonic(u) or polyharmonic(u, n) for repeated ones",
            "partial": "write diff(expression, x) for other expressions",
        }
        raise reader.fault(first, f"{name} takes u itself", mend.get(name, ""))


def _u_in_space(reader: Reader, tree: ast.Call, arguments: int) -> None:
    """Refuse what is not so many arguments, u itself the first, where there is a space."""
    reader.count(tree, arguments)
    _u_itself(reader, tree)
    reader.scope.need_space(tree)


def _laplacian(reader: Reader, tree: ast.Call) -> Node:
    _u_in_space(reader, tree, 1)
    return Laplacian(column=reader.column(tree))


def _biharmonic(reader: Reader, tree: ast.Call) -> Node:
    _u_in_space(reader, tree, 1)
    return Polyharmonic(2, column=reader.column(tree))


def _polyharmonic(reader: Reader, tree: ast.Call) -> Node:
    _u_in_space(reader, tree, 2)
    order = tree.args[1]
    if not (isinstance(order, ast.Constant) and type(order.value) is int):
        raise reader.fault(order, "the order must be a whole number", "write polyharmonic(u, 3)")
    if not 1 <= order.value <= 10:
        raise reader.fault(order, "the order must be between 1 and 10")
    column = reader.column(tree)
    return (
        Laplacian(column=column) if order.value == 1 else Polyharmonic(order.value, column=column)
    )


def _grad_norm2(reader: Reader, tree: ast.Call) -> Node:
    """grad_norm2(u), or in the metric of a parameter grad_norm2(A, u)."""
    if len(tree.args) == 2:
        return _in_metric(reader, tree, GradNorm2(column=reader.column(tree)), GradForm)
    _u_in_space(reader, tree, 1)
    return GradNorm2(column=reader.column(tree))


def _is_gradient(reader: Reader, tree: ast.expr) -> bool:
    """Whether this is grad(u)."""
    if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)):
        return False
    if tree.func.id != "grad":
        return False
    _u_in_space(reader, tree, 1)
    return True


def _grad(reader: Reader, tree: ast.Call) -> Node:
    raise reader.fault(tree, "grad(u) cannot stand here", "write dot(b, grad(u)) or div(k*grad(u))")


def _trace(reader: Reader, tree: ast.Call) -> Node:
    reader.count(tree, 2)
    return _in_metric(reader, tree, Laplacian(column=reader.column(tree)), Trace)


def _in_metric(
    reader: Reader, tree: ast.Call, plain: Node, weighted: type[Trace] | type[GradForm]
) -> Node:
    """trace(A, u) and grad_norm2(A, u): where A is a number, so many times the plain operator."""
    matrix, column = tree.args[0], reader.column(tree)
    _u_itself(reader, ast.Call(tree.func, tree.args[1:], [], col_offset=tree.col_offset))
    reader.scope.need_space(tree)
    if not (isinstance(matrix, ast.Name) and matrix.id in reader.scope.shapes):
        why = f"the first argument of {ast.unparse(tree.func)} must be a parameter"
        raise reader.fault(matrix, why, "give the matrix, its diagonal or a number by name")
    shape, size = reader.scope.shapes[matrix.id], len(reader.scope.layout.space)
    if not shape:
        scale = Parameter(matrix.id, column=reader.column(matrix))
        return multiply((scale, plain))
    if any(length != size for length in shape):
        told = " x ".join(map(str, shape))
        raise reader.fault(matrix, f"{matrix.id} is {told}, and there are {size} coordinates")
    return weighted(matrix.id, len(shape) == 1, column=column)


def _div(reader: Reader, tree: ast.Call) -> Node:
    reader.count(tree, 1)
    reader.scope.need_u(tree)
    reader.scope.need_space(tree)
    return _divergence(reader, tree, tree.args[0])


def _divergence(reader: Reader, tree: ast.Call, flux: ast.expr) -> Node:
    match flux:
        case ast.UnaryOp(op=ast.USub()):
            return negative(_divergence(reader, tree, flux.operand))
        case ast.BinOp(op=ast.Add() | ast.Sub() as op):
            left, right = (_divergence(reader, tree, side) for side in (flux.left, flux.right))
            return add((left, right if isinstance(op, ast.Add) else negative(right)))
        case ast.BinOp(op=ast.Mult()):
            for one, other in ((flux.left, flux.right), (flux.right, flux.left)):
                if _is_gradient(reader, one):
                    return _diffusion(reader, tree, other, reader.scalar(other))
                if isinstance(one, ast.Name) and one.id == "u":
                    return _advection(reader, tree, other)
        case ast.BinOp(op=ast.Div()) if _is_gradient(reader, flux.left):
            k = divide(ONE, reader.scalar(flux.right))
            return _diffusion(reader, tree, flux.right, k)
        case _ if _is_gradient(reader, flux):
            return Laplacian(column=reader.column(tree))
    raise reader.fault(
        flux, "div takes k*grad(u) or b*u", "write k and b as one factor, in brackets"
    )


def _diffusion(reader: Reader, tree: ast.Call, where: ast.expr, k: Node) -> Node:
    """div(k grad u) = k laplacian(u) + dot(grad k, grad u) + k_u |grad u|^2."""
    if contains(k, (Derivative, Source)):
        raise reader.fault(where, "the coefficient in div must be free of f and derivatives of u")
    if free(k):
        raise reader.fault(where, "div cannot stand in a sum that its coefficient depends on")
    column, space = reader.column(tree), reader.scope.layout.space
    terms = [multiply((k, Laplacian(column=column)))]
    if any(
        isinstance(n, Entry) or (isinstance(n, Coordinate) and n.position in space)
        for n in k.walk()
    ):
        with reader.scope.fresh_lane() as lane:
            slopes = GradientEntry(k, lane, column=column)
        terms.append(Drift(lane, slopes, column=column))
    if contains(k, Unknown):
        terms.append(multiply((slope_in_u(k), GradNorm2(column=column))))
    return add(terms)


def _advection(reader: Reader, tree: ast.Call, b: ast.expr) -> Node:
    """div(b u) = dot(b, grad u) + u div b, for b free of u and its entry i of all but x_i."""
    with reader.scope.fresh_lane() as lane:
        vector = reader.vector(b)
        space = reader.scope.layout.space
        closed = [
            n for n in vector.body.walk()
            if (isinstance(n, Unknown | Sum) and contains(n, (Unknown, Entry)))
            or (isinstance(n, Coordinate) and n.position in space)
        ]  # fmt: skip
        if closed:
            why = "entry i of the vector in div(b*u) may depend on entry i of the point alone"
            raise reader.fault(b, why, "write dot(b, grad(u)) + u*(the divergence of b)")
        own = slope(vector.body, lane, 0, reader.scope.layout)
    drift = _drift(reader, tree, lane, vector)
    unknown = Unknown(column=reader.column(tree))
    return add((drift, multiply((unknown, sum_over(lane, (0, vector.length), own)))))


def _diff(reader: Reader, tree: ast.Call) -> Node:
    reader.count(tree, 2)
    body = reader.scalar(tree.args[0])
    match reader.read(tree.args[1]):
        case Coordinate(position):
            node = differentiate(body, position, reader.scope.layout)
        case _:
            why = "diff differentiates in one coordinate"
            raise reader.fault(tree.args[1], why, "write a name such as t or x3")
    # A product of many factors, differentiated many times, would fill the memory.
    if sum(1 for _ in zip(node.walk(), range(_MOST_NODES), strict=False)) == _MOST_NODES:
        raise reader.fault(tree, "the derivative is too long", "write it in partials of u")
    return node


OPERATORS: dict[str, Operator] = {
    "sum": _sum,
    "max": _extreme,
    "min": _extreme,
    "dot": _dot,
    "norm2": _norm2,
    "partial": _partial,
    "laplacian": _laplacian,
    "biharmonic": _biharmonic,
    "polyharmonic": _polyharmonic,
    "grad_norm2": _grad_norm2,
    "grad": _grad,
    "div": _div,
    "trace": _trace,
    "diff": _diff,
}
