"""What a YAML file says of time: u at one end of it, and the point where its value is wanted."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from stde_cli.expressions import Field, Layout, Node, is_kinked, parse, render, with_coordinate
from stde_cli.expressions.algebra import add, negative
from stde_cli.expressions.nodes import Coordinate, Number
from stde_cli.problem.domains import AbstractDomain, Box
from stde_cli.problem.operators import AbstractOperator, Gradient
from stde_cli.problem.pdes.conditions import AbstractCondition
from stde_cli.problem.pdes.coordinates import check_within, is_number, is_positive
from stde_cli.problem.pdes.evolution import Time
from stde_cli.problem.pdes.gradients import has_gradient
from stde_cli.system.errors import UsageError
from stde_cli.system.types import Derivatives, Point, Points, PRNGKey, Scalar, Text

_KINK = "where its gradient jumps, the equation would have to balance what no derivative shows"
_OF_TERMS = ("weight", "gradient_weight", "points")
_SOFT = "write hold: soft, or give a smooth lift"
_CHECKED = 4
"""Points at which a lift is held against the value, and the value asked for its gradient."""
_ALIKE = 1e-3
"""How near the two are, against the largest value: single precision has less than that."""


@dataclass(frozen=True)
class GivenInTime:
    """`initial` or `terminal` of a YAML file.

    Attributes:
        where: the key.
        time: what the text says.
        lift: what is `time.data` at that time, and the lift of u where it is hard.
        hard: whether u = g + (how far from that time) * network; else a term of the loss.
        weight: of mean (u - g)^2, where it is not hard.
        gradient_weight: of mean |grad u - grad g|^2, likewise; 0 leaves it out.
        points: of each of these terms a step; None: train.condition_points.
    """

    where: str
    time: Time
    lift: Node
    hard: bool
    weight: float
    gradient_weight: float
    points: int | None

    def vanishing(self, layout: Layout) -> Node:
        """t - t0 where u is given at t0, the lower end, and T - t at the upper end T."""
        t = Coordinate(self.time.position, layout.label(self.time.position))
        end = Number(self.time.given)
        return add((t, negative(end)) if self.time.forward else (end, negative(t)))

    def conditions(self, layout: Layout, domain: AbstractDomain) -> tuple[AbstractCondition, ...]:
        """The terms of the loss; none where the values hold by construction.

        Raises:
            UsageError: gradients are asked for where there is none: at the wanted time all points
                of a diffusion are one.
        """
        if self.hard:
            return ()
        value = ValueInTime(
            time=self.time, domain=domain, weight=self.weight, own_points=self.points
        )
        if not self.gradient_weight:
            return (value,)
        slope = GradientInTime(
            time=self.time,
            domain=domain,
            weight=self.gradient_weight,
            own_points=self.points,
            space=tuple(layout.space) if layout.family is None else layout.family_range,
        )
        if not has_gradient(self.time.data, slope.sample(_CHECKED, key=jax.random.key(0))):
            why = "the value has no gradient where points of that time are: a kink"
            mend = "write 0, or a value_at.t at which it is not given"
            raise UsageError(f"{self.where}.gradient_weight", self.gradient_weight, why, mend)
        return value, slope


class ValueInTime(AbstractCondition):
    """u = g at the time at which u is given."""

    time: Time
    domain: AbstractDomain
    weight: float
    operators: Mapping[str, AbstractOperator]
    own_points: int | None = eqx.field(static=True)

    def __init__(
        self, *, time: Time, domain: AbstractDomain, weight: float, own_points: int | None = None
    ):
        self.time, self.domain, self.weight, self.own_points = time, domain, weight, own_points
        self.operators = {}

    @property
    def points(self) -> int | None:
        return self.own_points

    def sample(self, points: int, *, key: PRNGKey) -> Points:
        return self.domain.sample_where({self.time.position: self.time.given}, points, key=key)

    def residual(self, x: Point, u: Scalar, derivatives: Derivatives) -> Scalar:
        return u - self.time.data(x)


class GradientInTime(AbstractCondition):
    """grad u = grad g there, over the coordinates of `space` ([STDE] section 5.2, C_g).

    Where g has a kink, its gradient is that on one side of it, or between those of two.
    """

    time: Time
    domain: AbstractDomain
    weight: float
    operators: Mapping[str, AbstractOperator]
    own_points: int | None = eqx.field(static=True)
    space: Sequence[int] = eqx.field(static=True)

    def __init__(
        self,
        *,
        time: Time,
        domain: AbstractDomain,
        weight: float,
        own_points: int | None = None,
        space: Sequence[int],
    ):
        self.time, self.domain, self.weight, self.own_points = time, domain, weight, own_points
        self.operators, self.space = {"gradient": Gradient()}, space

    @property
    def points(self) -> int | None:
        return self.own_points

    def sample(self, points: int, *, key: PRNGKey) -> Points:
        return self.domain.sample_where({self.time.position: self.time.given}, points, key=key)

    def residual(self, x: Point, u: Scalar, derivatives: Derivatives) -> Float[Array, " space"]:
        difference = derivatives["gradient"] - jax.grad(self.time.data)(x)
        if isinstance(self.space, range):
            return difference[self.space.start : self.space.stop]
        return difference[jnp.array(self.space)]


def given_in_time(
    initial: Text | Mapping[str, Any] | None,
    terminal: Text | Mapping[str, Any] | None,
    layout: Layout,
    parts: Mapping[str, AbstractDomain],
    parameters: Mapping[str, Any],
) -> GivenInTime | None:
    """What `initial` or `terminal` says; None where neither does.

    Where g is not smooth, its values cannot hold by construction: with u = g + (T - t) N, the
    Laplacian of u holds that of g, which where the gradient of g jumps is a measure on a surface.
    Derivatives at points do not see it, so that a smooth N, N = 0 for the heat equation and a
    piecewise linear g, would make their residual vanish, and u would never be smoothed. Values that
    hold max, min or abs of the point are therefore asked for by terms of the loss.

    Raises:
        UsageError: at the key that is at fault.
    """
    if initial is not None and terminal is not None:
        raise UsageError("pde.terminal", _told(terminal), "pde.initial is given too", "give one")
    forward = initial is not None
    entry = initial if forward else terminal
    if entry is None:
        return None
    where = f"pde.{'initial' if forward else 'terminal'}"
    if not isinstance(parts.get("t"), Box) or "t" not in layout.names:
        raise UsageError(where, _told(entry), "there is no coordinate t", "name one t: [0, 1]")
    settings = _settings(where, entry)
    text_at = where if isinstance(entry, Text) else f"{where}.value"
    box = parts["t"]
    assert isinstance(box, Box)
    (lower,), (upper,), position = box.lower, box.upper, layout.names["t"]
    node = parse(settings.value, layout, parameters, where=text_at)
    # Written as a function of t too, such as the solution, it is still what u is at that end.
    node = with_coordinate(node, position, Number(lower if forward else upper))
    time = Time(Field(node, layout, parameters), position, lower, upper, forward)
    lift = node
    if settings.lift is not None:
        lift = parse(settings.lift, layout, parameters, where=f"{where}.lift")
        _check_lift(where, lift, time, layout, parts, parameters)
    smooth = not is_kinked(lift)
    if settings.hold == "hard" and not smooth:
        raise UsageError(f"{where}.hold", "hard", f"the value is not smooth: {_KINK}", _SOFT)
    hard = smooth if settings.hold is None else settings.hold == "hard"
    _check_weights(where, entry, hard=hard)
    return GivenInTime(
        where,
        time,
        lift,
        hard,
        float(settings.weight),
        float(settings.gradient_weight),
        settings.points,
    )


def _check_weights(where: str, entry: Text | Mapping[str, Any], *, hard: bool) -> None:
    """Refuse what weighs terms of the loss that are not there."""
    asked = [] if isinstance(entry, Text) else [name for name in _OF_TERMS if name in entry]
    if hard and asked:
        why = "the values hold by construction, and there is no such term of the loss"
        assert isinstance(entry, Mapping)
        raise UsageError(f"{where}.{asked[0]}", entry[asked[0]], why, "write hold: soft")


def _check_lift(
    where: str,
    lift: Node,
    time: Time,
    layout: Layout,
    parts: Mapping[str, AbstractDomain],
    parameters: Mapping[str, Any],
) -> None:
    """Refuse a lift that is another function than the value at the time of the value."""
    low, high = jnp.concatenate([part.extent for part in parts.values()], axis=1)
    shares = np.random.default_rng(0).uniform(size=(_CHECKED, layout.dim))
    points = (low + (high - low) * shares).at[:, time.position].set(time.given)
    carried = Field(lift, layout, parameters)
    wanted, found = (jax.vmap(field)(points) for field in (time.data, carried))
    difference = jnp.max(jnp.abs(wanted - found))
    if isinstance(difference, Tracer):
        # Only shapes are known, while memory is planned; the numbers come after that.
        return
    if not difference <= _ALIKE * jnp.max(jnp.abs(wanted)):
        why = f"at t = {time.given:g} it is not the value, but up to {difference:.3g} off"
        raise UsageError(f"{where}.lift", render(lift), why)


def value_wanted(
    entry: Mapping[str, Any] | None,
    layout: Layout,
    parts: Mapping[str, AbstractDomain],
    parameters: Mapping[str, Any],
) -> Float[Array, " dim"] | None:
    """The point of `value_at`: a number a coordinate; for the family one for all, or a list.

    Raises:
        UsageError: a coordinate is missing or unknown, lies outside its range, or a list is not of
            the family's length.
    """
    if entry is None:
        return None
    example = ", ".join(f"{name}: 0" for name in parts)
    for name in entry:
        if name not in parts:
            known = ", ".join(parts)
            raise UsageError("pde.value_at", name, "no such coordinate", f"choose from {known}")
    missing = [name for name in parts if name not in entry]
    if missing:
        raise UsageError("pde.value_at", None, f"{missing[0]} is missing", f"write {{{example}}}")
    pieces: list[Float[Array, " piece"]] = []
    for name in parts:
        where, value = f"pde.value_at.{name}", entry[name]
        if name == layout.family:
            pieces.append(entries(where, value, len(layout.family_range), parameters))
            continue
        if not is_number(value):
            raise UsageError(where, value, "is no number")
        check_within(where, float(value), parts[name])
        pieces.append(jnp.asarray([value], float))
    return jnp.concatenate(pieces)


def entries(
    where: str, value: Any, count: int, parameters: Mapping[str, Any]
) -> Float[Array, " count"]:
    """A number for every entry of the family, a list of theirs, or the name of a parameter.

    Raises:
        UsageError: it is none of these.
    """
    return jnp.broadcast_to(numbers(where, value, count, parameters), (count,))


def numbers(
    where: str, value: Any, count: int, parameters: Mapping[str, Any], *, axes: int = 1
) -> Float[Array, "..."]:
    """A number, a list of `count`, or the name of a parameter that is one or has up to `axes` axes.

    Raises:
        UsageError: it is none of these.
    """
    found = value
    if isinstance(value, str):
        if value not in parameters:
            known = ", ".join(parameters) or "there is none"
            raise UsageError(where, value, "no such parameter", f"choose from: {known}")
        found = parameters[value]
    elif not is_number(value) and not (
        isinstance(value, Sequence | np.ndarray | jax.Array) and all(map(_is_real, value))
    ):
        raise UsageError(where, value, "is no number, list or name of a parameter")
    shape = np.shape(found)
    if len(shape) > axes or any(length != count for length in shape):
        told = " x ".join(map(str, shape))
        why = f"has {told} numbers, and the family has {count} entries"
        raise UsageError(where, value if isinstance(value, str) else None, why)
    return jnp.asarray(found, float)


@dataclass(frozen=True)
class _Settings:
    """As they are written: what is wrong with them is told by their keys."""

    value: Any
    lift: Any = None
    hold: Any = None
    weight: Any = 20.0
    gradient_weight: Any = 0.05
    points: Any = None


def _settings(where: str, entry: Text | Mapping[str, Any]) -> _Settings:
    if isinstance(entry, Text):
        return _Settings(entry)
    known = [field.name for field in fields(_Settings)]
    for name in entry:
        if name not in known:
            raise UsageError(f"{where}.{name}", None, "no such key", f"give {', '.join(known)}")
    for name, wanted in (("value", Text), ("lift", Text | None)):
        if not isinstance(entry.get(name), wanted):
            raise UsageError(f"{where}.{name}", entry.get(name), "is no text", "write what u is")
    found = _Settings(**entry)
    if found.hold not in (None, "hard", "soft"):
        raise UsageError(f"{where}.hold", found.hold, "must be one of hard, soft")
    if not is_positive(found.weight):
        raise UsageError(f"{where}.weight", found.weight, "must be above 0")
    if not is_number(found.gradient_weight) or found.gradient_weight < 0:
        raise UsageError(f"{where}.gradient_weight", found.gradient_weight, "must be 0 or more")
    points = found.points
    if points is not None and (type(points) is not int or points < 1):
        raise UsageError(f"{where}.points", points, "must be a whole number of 1 or more")
    return found


def _is_real(value: Any) -> bool:
    return np.ndim(value) == 0 and np.asarray(value).dtype.kind in "iuf" and math.isfinite(value)


def _told(entry: Any) -> Any:
    return dict(entry) if isinstance(entry, Mapping) else entry
