from abc import abstractmethod
from collections.abc import Mapping

import equinox as eqx
from jaxtyping import Array, Float

from stde_cli.expressions import Field, Layout
from stde_cli.problem.constraints import AbstractConstraint
from stde_cli.problem.domains import AbstractDomain
from stde_cli.problem.operators import AbstractOperator
from stde_cli.problem.pdes.conditions import AbstractCondition
from stde_cli.problem.pdes.evolution import Time
from stde_cli.problem.tabulated import Samples
from stde_cli.system.types import Derivatives, Point, Scalar, ScalarField


class AbstractPDE(eqx.Module):
    """lhs(x, u, derivatives) = source(x) in a domain; a constraint holds the boundary values.

    `operators` names the derivatives that `lhs` wants. `lhs` must be affine in those that are
    sampled: then an unbiased estimate of each gives an unbiased estimate of the residual.
    """

    domain: eqx.AbstractVar[AbstractDomain]
    constraint: eqx.AbstractVar[AbstractConstraint]
    operators: eqx.AbstractVar[Mapping[str, AbstractOperator]]
    solution: eqx.AbstractVar[ScalarField | None]
    """The exact solution where one is known, or a table of it. It measures errors and never trains.
    """

    @abstractmethod
    def lhs(self, x: Point, u: Scalar, derivatives: Derivatives) -> Scalar:
        """The differential operator applied to u, given u and its derivatives at x."""

    @abstractmethod
    def source(self, x: Point) -> Scalar:
        """The right-hand side f."""

    def residual(self, x: Point, u: Scalar, derivatives: Derivatives) -> Scalar:
        """lhs - source."""
        return self.lhs(x, u, derivatives) - self.source(x)

    @property
    def layout(self) -> Layout:
        """What the entries of a point are called: x1, x2, ... without a better name."""
        return Layout((("x", self.domain.dim),))

    def field(self, text: str | int | float, *, where: str) -> Field:
        """A function of the point, given as text in the coordinates' names.

        Raises:
            ExpressionError: at the key `where`, with a caret under the fault.
        """
        return Field.parse(text, self.layout, {}, where=where)

    @property
    def lift(self) -> ScalarField | None:
        """The boundary values, continued into the domain; None where they are zero."""
        return None

    @property
    def time(self) -> Time | None:
        """What u is at one end of time, where the equation is one in time."""
        return None

    @property
    def samples(self) -> Samples | None:
        """Values of the solution at points alone, where it is known there and nowhere else."""
        return None

    @property
    def value_at(self) -> Float[Array, " dim"] | None:
        """The point at which the value of u is wanted, where it is one."""
        return None

    @property
    def reference(self) -> float | None:
        """The true value there, where it is known without an exact solution. It trains nothing."""
        return None

    @property
    def conditions(self) -> tuple[AbstractCondition, ...]:
        """What is asked beside the equation, by terms of the loss."""
        return ()

    @property
    def nonlinear_in(self) -> tuple[str, ...]:
        """Operators in which `lhs` is not affine: sampled, they would bias the residual."""
        return ()
