"""Semilinear equations Laplacian(u) + F(u) = f on a ball, u = 0 on its sphere.

The source f is made from a solution. [STDE] section 5.1 and appendix I.1.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar

from stde_cli.problem.constraints import VanishOnSphere
from stde_cli.problem.domains import Ball
from stde_cli.problem.operators import AbstractOperator, Laplacian
from stde_cli.problem.pdes.base import AbstractPDE
from stde_cli.problem.pdes.solutions import AbstractSolution
from stde_cli.system.ranges import Positive
from stde_cli.system.types import Point, PRNGKey, Scalar


class AbstractManufactured(AbstractPDE):
    """An equation whose source is `lhs` of a known solution; a final class adds `lhs`.

    Args:
        dim: number of coordinates.
        radius: of the ball, and of the sphere on which the solution vanishes.
        solution: makes the solution from (dim, radius=, key=).
        key: draws the solution's coefficients.
    """

    domain: Ball
    constraint: VanishOnSphere
    solution: AbstractSolution
    operators: ClassVar[Mapping[str, AbstractOperator]] = {"laplacian": Laplacian()}

    def __init__(
        self,
        dim: int,
        *,
        radius: Positive = 1.0,
        solution: Callable[..., AbstractSolution],
        key: PRNGKey,
    ):
        self.domain = Ball(dim, radius)
        self.constraint = VanishOnSphere(radius)
        self.solution = solution(dim, radius=radius, key=key)

    def source(self, x: Point) -> Scalar:
        u, laplacian = self.solution.value_and_laplacian(x)
        return self.lhs(x, u, {"laplacian": laplacian})
