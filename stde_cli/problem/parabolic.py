"""An equation as an evolution from known values: what solvers that are no network work on.

It is read from the PDE's own residual, with values put in for the operators: there is no second
statement of an equation.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stde_cli.problem import operators as op
from stde_cli.problem.domains import Ball, Box, Product
from stde_cli.problem.operators import AbstractOperator
from stde_cli.problem.pdes import AbstractPDE
from stde_cli.problem.pdes.in_time import GradientInTime, ValueInTime
from stde_cli.system.errors import UsageError
from stde_cli.system.types import Point, Scalar

Place: TypeAlias = Float[Array, " space"]
"""A point of space, without its time."""

Diffusion: TypeAlias = Float[Array, ""] | Float[Array, " space"] | Float[Array, "space space"]
"""A of tr(A Hess u): a multiple of the identity, a diagonal, or a matrix."""


class Parabolic(eqx.Module):
    """u_s = tr(A(s, x) Hess u) + F(s, x, u, |grad u|^2, v_1 . grad u, ...), u(0, x) = g(x).

    s is the time since the data, whichever way time runs in the user's text, and x a point of space
    alone. A is half of sigma sigma^T, of the diffusion that goes with the equation.

    Attributes:
        point: the x of the value that is wanted.
        elapsed: its s, above 0.
        data: g.
        diffusion: A, of (s, x).
        reaction: F, of (s, x, u, square, along), where `square` is |grad u|^2 and `along` of shape
            (velocities,).
        velocities: v_1, v_2, ... of (s, x), in an array of shape (velocities, space).
    """

    point: Place
    elapsed: float = eqx.field(static=True)
    data: Callable[[Place], Scalar]
    diffusion: Callable[[Scalar, Place], Diffusion]
    reaction: Callable[[Scalar, Place, Scalar, Scalar, Float[Array, " velocities"]], Scalar]
    velocities: Callable[[Scalar, Place], Float[Array, "velocities space"]]

    def of_gradient(self, s: Scalar, x: Place, u: Scalar, gradient: Place) -> Scalar:
        """F, where the gradient is given as it is."""
        return self.reaction(s, x, u, jnp.sum(gradient**2), self.velocities(s, x) @ gradient)


def still(s: Scalar, x: Place) -> Float[Array, "0 space"]:
    """The velocities of an equation that has none."""
    return jnp.zeros((0, x.size), x.dtype)


def read(pde: AbstractPDE) -> Parabolic:
    """The evolution that a PDE says, from its data up to the point where its value is wanted.

    Raises:
        UsageError: the PDE says neither of these, holds u elsewhere too, is not parabolic, or has
            an operator that is not known here.
    """
    time, point = pde.time, pde.value_at
    if time is None:
        why, mend = "says u at no time", "give pde.initial or pde.terminal"
        raise UsageError("pde", None, why, f"{mend}, and pde.value_at")
    if point is None:
        why = "a reference is the value at a point, and none is wanted"
        raise UsageError("pde.value_at", None, why, "give it: {t: ..., x: ...}")
    _refuse_boundaries(pde, time.position)
    position, origin, sign = time.position, time.given, 1.0 if time.forward else -1.0
    terms = _Terms(pde, position, sign)

    def whole(s: Scalar, x: Place) -> Point:
        t = jnp.asarray(origin + sign * s, x.dtype)[None]
        return jnp.concatenate([x[:position], t, x[position:]])

    def diffusion(s: Scalar, x: Place) -> Diffusion:
        at = whole(s, x)
        time, second = terms.slopes(at, jnp.zeros((), x.dtype))
        return -sign / time * _sum(second, terms.matrices(at))

    def reaction(
        s: Scalar, x: Place, u: Scalar, square: Scalar, along: Float[Array, " velocities"]
    ) -> Scalar:
        at = whole(s, x)
        rest = terms.residual(at, u, terms.nothing, square, along)
        return -sign * rest / terms.slopes(at, u).time

    found = Parabolic(
        point=jnp.delete(point, position, assume_unique_indices=True),
        elapsed=float(time.away(point)),
        data=lambda x: time.data(whole(jnp.zeros((), x.dtype), x)),
        diffusion=diffusion,
        reaction=reaction,
        velocities=lambda s, x: terms.velocities(whole(s, x)),
    )
    if found.elapsed <= 0:
        raise UsageError("pde.value_at.t", float(point[position]), "lies where u is given")
    terms.check(whole(jnp.asarray(found.elapsed / 2), found.point))
    return found


def _refuse_boundaries(pde: AbstractPDE, position: int) -> None:
    """Solvers know no boundary in space."""
    mend = "references are for the whole space"
    for number, condition in enumerate(pde.conditions):
        if not isinstance(condition, ValueInTime | GradientInTime):
            raise UsageError(f"pde.conditions[{number}]", None, "a reference knows none", mend)
    parts = pde.domain.parts if isinstance(pde.domain, Product) else (pde.domain,)
    start = 0
    for part, domain in enumerate(parts):
        if start != position and isinstance(pde.domain, Product) and isinstance(domain, Ball | Box):
            x = pde.domain.sample_face(part, 1, key=jax.random.key(0))[0]
            if jnp.isclose(pde.constraint(x), 0.0, atol=1e-9):
                name = pde.layout.label(start)
                raise UsageError("pde.constraint", None, f"u is held where {name} ends", mend)
        start += domain.dim


class _Highest(NamedTuple):
    """The derivatives that the residual is affine in."""

    time: Scalar
    second: tuple[Scalar, ...]
    """One for each operator of second order in space."""


class _Terms:
    """The operators of a PDE, sorted by what they are to an evolution."""

    def __init__(self, pde: AbstractPDE, position: int, sign: float):
        self.pde, self.position, self.sign, self.dim = pde, position, sign, pde.domain.dim
        self.space = [c for c in range(self.dim) if c != position]
        leaves = [(n, leaf) for n, each in pde.operators.items() for leaf in _leaves(each)]
        self.kinds = [self._kind(name, leaf) for name, leaf in leaves]
        sorted_ = list(zip(self.kinds, leaves, strict=True))
        self.second = [leaf for kind, (_, leaf) in sorted_ if kind == "second"]
        self.first = [leaf for kind, (_, leaf) in sorted_ if kind == "along"]
        if "time" not in self.kinds:
            raise UsageError("pde.residual", None, "it has no first derivative in time", _FOR)
        if not self.second:
            why = "it has no second derivative in space"
            raise UsageError("pde.residual", None, why, _FOR)
        zero = jnp.zeros(())
        self.nothing = _Highest(zero, (zero,) * len(self.second))

    def _kind(self, name: str, operator: AbstractOperator) -> str:
        match operator:
            case op.Partial(coordinates=(c,)):
                return "time" if c == self.position else "along"
            case op.Partial(coordinates=(a, b)) if self.position not in (a, b):
                return "second"
            case op.GradientNorm(span=span) if self._is_space(span):
                return "square"
            case op.Drift():
                return "along"
            case op.SumOfPartials(fixed=(), powers=(1,), places=None):
                return "along"
            case op.SumOfPartials(fixed=(), powers=(2,) | (1, 1), places=None, span=span):
                if self._is_space(span):
                    return "second"
            case (
                op.Laplacian(span=span) | op.WeightedTrace(span=span) | op.SecondOrder(span=span)
            ) if self._is_space(span):
                return "second"
        why = f"{name} is no part of u_t = tr(A Hess u) + F(t, x, u, grad u)"
        raise UsageError("pde.residual", None, why, _FOR)

    def _is_space(self, span: op.Span) -> bool:
        return list(op.extent(span, self.dim)) == self.space

    def residual(
        self,
        at: Point,
        u: Scalar,
        highest: _Highest,
        square: Scalar,
        along: Float[Array, " velocities"],
    ) -> Scalar:
        """Of the PDE, with these numbers for its derivatives."""
        second, velocity = iter(highest.second), iter(along)
        numbers = {"time": lambda: highest.time, "square": lambda: square}
        numbers |= {"second": lambda: next(second), "along": lambda: next(velocity)}
        values = (numbers[kind]() for kind in self.kinds)
        given = {name: _value(operator, values) for name, operator in self.pde.operators.items()}
        return self.pde.residual(at, u, given)

    def slopes(self, at: Point, u: Scalar) -> _Highest:
        """Factors of the highest derivatives in the residual."""
        nothing = jnp.zeros(()), jnp.zeros(len(self.first))
        return jax.grad(lambda highest: self.residual(at, u, highest, *nothing))(self.nothing)

    def check(self, at: Point) -> None:
        """At a few values of u and its derivatives, the residual is what is asked of it."""
        time, change, affine, a = eqx.filter_jit(self._tried)(at)
        if not abs(float(time)) > 0:
            raise UsageError("pde.residual", None, "its derivative in time has no factor", _FOR)
        if not jnp.allclose(change, affine, rtol=1e-9, atol=1e-9):
            why = "its highest derivatives have factors that depend on u"
            raise UsageError("pde.residual", None, why, _FOR)
        least = jnp.min(jnp.linalg.eigvalsh(a)) if a.ndim == 2 else jnp.min(a)
        if not least >= -1e-9 * jnp.max(jnp.abs(a)):
            why = "it diffuses backwards from where u is given"
            raise UsageError("pde.residual", None, why, "look at the signs, and at where t begins")

    def _tried(self, at: Point) -> tuple[Scalar, Float[Array, " 2"], Float[Array, " 2"], Diffusion]:
        """The factor of u_t; what the highest derivatives change, and would change; and A."""
        slopes, changes, affine = self.slopes(at, jnp.zeros(())), [], []
        along = jnp.full(len(self.first), 0.7)
        for u, square, time in ((0.4, 0.3, 1.0), (-0.9, 2.0, -0.5)):
            u, square, time = map(jnp.asarray, (u, square, time))
            highest = _Highest(time, tuple(time + 0.3 * k for k in range(len(self.second))))
            whole = self.residual(at, u, highest, square, along)
            changes.append(whole - self.residual(at, u, self.nothing, square, along))
            second = map(jnp.multiply, slopes.second, highest.second)
            affine.append(slopes.time * time + sum(second))
        a = -self.sign / slopes.time * _sum(slopes.second, self.matrices(at))
        return slopes.time, jnp.stack(changes), jnp.stack(affine), a

    def matrices(self, at: Point) -> list[Diffusion]:
        return [self._matrix(operator, at) for operator in self.second]

    def _matrix(self, operator: AbstractOperator, at: Point) -> Diffusion:
        n = len(self.space)
        match operator:
            case op.Laplacian():
                return jnp.ones((), at.dtype)
            case op.SecondOrder(matrix=matrix):
                return matrix
            case op.WeightedTrace():
                sigma = operator.sigma_at(at)
                return sigma @ sigma.T if sigma.ndim == 2 else sigma**2
            case op.Partial(coordinates=coordinates):
                a, b = map(self.space.index, coordinates)
                return jnp.zeros((n, n), at.dtype).at[a, b].add(0.5).at[b, a].add(0.5)
            case op.SumOfPartials(powers=(2,)):
                return operator.weights_at(at, jnp.arange(n)[:, None])
            case op.SumOfPartials():
                pairs = jnp.stack(jnp.meshgrid(jnp.arange(n), jnp.arange(n), indexing="ij"), -1)
                found = operator.weights_at(at, pairs.reshape(-1, 2)).reshape(n, n)
                return (found + found.T) / 2
        raise TypeError(type(operator).__name__)

    def velocities(self, at: Point) -> Float[Array, "velocities space"]:
        found = [jnp.delete(self._velocity(o, at), self.position) for o in self.first]
        return jnp.stack(found) if found else jnp.zeros((0, len(self.space)), at.dtype)

    def _velocity(self, operator: AbstractOperator, at: Point) -> Point:
        """In the whole of a point."""
        nowhere = jnp.zeros_like(at)
        match operator:
            case op.Partial(coordinates=(c,)):
                return nowhere.at[c].set(1.0)
            case op.Drift(velocity=velocity, span=span):
                found, start = velocity(at), 0 if span is None else span[0]
                return nowhere.at[start : start + found.size].set(found)
            case op.SumOfPartials(span=span):
                over = op.extent(span, at.size)
                weights = operator.weights_at(at, jnp.arange(len(over))[:, None])
                return nowhere.at[over.start : over.stop].set(weights)
        raise TypeError(type(operator).__name__)


_FOR = "references are for parabolic equations"


def _leaves(operator: AbstractOperator) -> Iterator[AbstractOperator]:
    if isinstance(operator, op.Combination):
        for each in operator.operators:
            yield from _leaves(each)
    else:
        yield operator


def _value(operator: AbstractOperator, values: Iterator[Scalar]) -> Scalar:
    """Of an operator, from those of its leaves."""
    if isinstance(operator, op.Combination):
        terms = zip(operator.factors, operator.operators, strict=True)
        return sum((factor * _value(each, values) for factor, each in terms), jnp.zeros(()))
    return next(values)


def _sum(factors: Sequence[Scalar], matrices: Sequence[Diffusion]) -> Diffusion:
    """Of multiples of the identity, diagonals and matrices, as the least of these that holds it."""
    most = max(each.ndim for each in matrices)
    dim = max(each.shape[0] if each.ndim else 0 for each in matrices)
    total = jnp.zeros((dim,) * most)
    for factor, each in zip(factors, matrices, strict=True):
        if most == 2 and each.ndim < 2:
            each = jnp.diag(jnp.broadcast_to(each, dim))
        total += factor * each
    return total
