"""Equations in time: what u is at one end of it."""

import equinox as eqx

from stde_cli.system.types import Point, Scalar, ScalarField


class Time(eqx.Module):
    """The range of time, and what u is at one end of it.

    Attributes:
        data: g, u at that end: a function of the whole point, whatever time the point says.
        position: of the time in a point.
        lower, upper: the range.
        forward: whether u is given at the lower end, and the equation says what becomes of it; or
            at the upper end, as in finance and control, and the equation says what it was before.
    """

    data: ScalarField
    position: int = eqx.field(static=True)
    lower: float = eqx.field(static=True)
    upper: float = eqx.field(static=True)
    forward: bool = eqx.field(static=True)

    @property
    def given(self) -> float:
        """The time at which u is `data`."""
        return self.lower if self.forward else self.upper

    def away(self, x: Point) -> Scalar:
        """How far from that time a point is, at least 0 within the range."""
        t = x[self.position]
        return t - self.lower if self.forward else self.upper - t
