from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from stde_cli.problem.domains.base import ROUNDING, AbstractDomain
from stde_cli.problem.domains.processes import AbstractProcess
from stde_cli.system.types import Point, Points, PRNGKey, Scalar


class Diffusion(AbstractDomain):
    """A range of time times the whole space, with points where a diffusion from one point comes.

    The value of a parabolic equation at (t_w, x_w) is an average over paths that leave x_w at t_w
    ([STDE] section 5.2; Beck et al. 2019; Raissi 2018). A point has the time t, uniform over
    the range or denser near t_w, and x as the process has it after |t - t_w|: x_w itself at t_w. In
    many dimensions other points say little of that value: the distance from x_w of all but a few
    points of a ball or of a Gaussian is that of its rim.

    Args:
        process: from x_w on; its time runs away from t_w in both directions.
        start: x_w.
        wanted: t_w, within the range.
        lower, upper: the range of time.
        time: the position of the time in a point: 0, or that after the last of x.
        power: |t - t_w| = length U^power with U uniform: 1 is uniform.
        scatter: paths leave from points that are normal about x_w with this standard deviation.
        steps: independent points without it; with it as many points a path, one in each of equal
            parts of the time of a path, so that fewer paths have to be drawn apart.

    Raises:
        ValueError: the range is empty, t_w lies outside it, or a number is not positive.
    """

    dim: int = eqx.field(static=True)
    process: AbstractProcess
    start: Float[Array, " space"]
    wanted: float = eqx.field(static=True)
    lower: float = eqx.field(static=True)
    upper: float = eqx.field(static=True)
    time: int = eqx.field(static=True)
    power: float = eqx.field(static=True)
    scatter: float = eqx.field(static=True)
    steps: int | None = eqx.field(static=True)

    def __init__(
        self,
        process: AbstractProcess,
        start: Float[Array, " space"],
        *,
        wanted: float,
        lower: float = 0.0,
        upper: float,
        time: int = 0,
        power: float = 1.0,
        scatter: float = 0.0,
        steps: int | None = None,
    ):
        if not lower < upper:
            raise ValueError(f"the range [{lower}, {upper}] is empty; write the lower end first")
        if not lower <= wanted <= upper:
            raise ValueError(f"wanted={wanted} lies outside the range [{lower}, {upper}]")
        if power <= 0 or (steps is not None and steps < 1):
            raise ValueError(f"power={power} must be above 0, and steps={steps} 1 or more")
        if scatter < 0:
            raise ValueError(f"scatter={scatter} must be 0 or more")
        if time not in (0, start.size):
            raise ValueError(f"time={time} must be 0 or {start.size}")
        self.dim = 1 + start.size
        self.process, self.start, self.wanted = process, start, wanted
        self.lower, self.upper, self.time = lower, upper, time
        self.power, self.scatter, self.steps = power, scatter, steps

    @property
    def spread(self) -> Float[Array, " dim"]:
        """Over all times: after the mean of them, since variances grow about evenly."""
        away = self._lengths
        mean = jnp.sum(away**2) / jnp.sum(away) / (1 + self.power)
        second = jnp.sum(away**3) / jnp.sum(away) / (1 + 2 * self.power)
        shift = (away[1] ** 2 - away[0] ** 2) / jnp.sum(away) / (1 + self.power)
        return self._joined(jnp.sqrt(second - shift**2), self._spread_after(mean))

    def spread_at(self, x: Point) -> Float[Array, " dim"]:
        elapsed = jnp.abs(x[self.time] - self.wanted)
        return self._joined(self.spread[self.time], self._spread_after(elapsed))

    @property
    def inputs(self) -> tuple[Float[Array, " dim"], Float[Array, " dim"]]:
        """Of unit spread in x; the time weighs as much as all of x together."""
        centre = self._joined(jnp.asarray((self.lower + self.upper) / 2), self.start)
        gain = self._joined(jnp.asarray(self.start.size**0.5), jnp.ones(self.start.size))
        return centre, gain / self.spread

    @property
    def extent(self) -> Float[Array, "2 dim"]:
        """The range of time; three standard deviations on both sides, after the longest time."""
        longest = jnp.max(self._lengths)
        mean = self.process.mean(self.start, longest)
        reach = 3 * self._spread_after(longest)
        ends = ((self.lower, mean - reach), (self.upper, mean + reach))
        return jnp.stack([self._joined(jnp.asarray(t, x.dtype), x) for t, x in ends])

    def sample_interior(self, points: int, *, key: PRNGKey) -> Points:
        side_key, time_key, normals_key = jax.random.split(key, 3)
        if self.steps is not None:
            return self._paths(points, side_key, time_key, normals_key)
        side = self._sides(side_key, points)
        away = jnp.abs(side) * jax.random.uniform(time_key, (points,)) ** self.power
        return self._at(away, jnp.sign(side), key=normals_key)

    def sample_where(self, fixed: Mapping[int, float], points: int, *, key: PRNGKey) -> Points:
        """At a given time x is distributed as the process is then."""
        others = {position: value for position, value in fixed.items() if position != self.time}
        if self.time not in fixed:
            return super().sample_where(fixed, points, key=key)
        shift = jnp.full(points, fixed[self.time] - self.wanted)
        x = self._at(jnp.abs(shift), jnp.sign(shift), key=key)
        # The very number, without the rounding of a sum.
        x = x.at[:, self.time].set(fixed[self.time])
        for position, value in others.items():
            x = x.at[:, position].set(value)
        return x

    def sample_boundary(self, points: int, *, key: PRNGKey) -> Points:
        """Points at either end of the range of time, as many at one as at the other."""
        end_key, normals_key = jax.random.split(key)
        ends = jnp.array([self.lower, self.upper])[jax.random.randint(end_key, (points,), 0, 2)]
        shift = ends - self.wanted
        x = self._at(jnp.abs(shift), jnp.sign(shift), key=normals_key)
        return x.at[:, self.time].set(ends)

    def contains(self, x: Point) -> Bool[Array, ""]:
        slack, t = ROUNDING * (self.upper - self.lower), x[self.time]
        return (self.lower - slack <= t) & (t <= self.upper + slack)

    def _spread_after(self, elapsed: Scalar) -> Float[Array, " space"]:
        return self.process.spread(self.start, elapsed, self.scatter)

    @property
    def _lengths(self) -> Float[Array, "2"]:
        """Of the range before and after the wanted time."""
        return jnp.array([self.wanted - self.lower, self.upper - self.wanted])

    def _sides(self, key: PRNGKey, count: int) -> Float[Array, " count"]:
        """The length of the range on one side of the wanted time or the other, with its sign."""
        before, after = self._lengths
        is_before = jax.random.uniform(key, (count,)) * (before + after) < before
        return jnp.where(is_before, -before, after)

    def _at(
        self, away: Float[Array, " points"], sign: Float[Array, " points"], *, key: PRNGKey
    ) -> Points:
        starts, key = self._starts(away.size, key=key)
        normals = jax.random.normal(key, (away.size, self.start.size))
        x = jax.vmap(self.process.moved)(starts, away, normals)
        return jax.vmap(self._joined)(self.wanted + sign * away, x)

    def _paths(
        self, points: int, side_key: PRNGKey, time_key: PRNGKey, normals_key: PRNGKey
    ) -> Points:
        """Points on paths: one at a time of each of equal parts, in U, of a path's length."""
        assert self.steps is not None
        paths = -(-points // self.steps)
        side = self._sides(side_key, paths)[:, None]
        part = jax.random.uniform(time_key, (paths, self.steps)) + jnp.arange(self.steps)
        away = jnp.abs(side) * (part / self.steps) ** self.power
        steps = jnp.diff(away, axis=1, prepend=0.0)
        starts, normals_key = self._starts(paths, key=normals_key)
        normals = jax.random.normal(normals_key, (paths, self.steps, self.start.size))

        def path(
            start: Point, steps: Float[Array, " steps"], normals: Float[Array, "steps space"]
        ) -> Points:
            def move(x: Point, step: tuple[Scalar, Point]) -> tuple[Point, Point]:
                x = self.process.moved(x, *step)
                return x, x

            return jax.lax.scan(move, start, (steps, normals))[1]

        x = jax.vmap(path)(starts, steps, normals).reshape(-1, self.start.size)
        t = (self.wanted + jnp.sign(side) * away).ravel()
        return jax.vmap(self._joined)(t, x)[:points]

    def _starts(self, paths: int, *, key: PRNGKey) -> tuple[Float[Array, "paths space"], PRNGKey]:
        """Where paths leave from, and a key for what is drawn after that."""
        shape = (paths, self.start.size)
        if not self.scatter:
            return jnp.broadcast_to(self.start, shape), key
        own, rest = jax.random.split(key)
        return self.start + self.scatter * jax.random.normal(own, shape), rest

    def _joined(self, t: Scalar, x: Float[Array, " space"]) -> Point:
        before, after = (t[None], x) if self.time == 0 else (x, t[None])
        return jnp.concatenate([before, after])
