from stde_cli.problem.pdes.manufactured import AbstractManufactured
from stde_cli.system.types import Derivatives, Point, Scalar


class Poisson(AbstractManufactured):
    """Laplacian(u) = f. [STDE] appendix I.1."""

    def lhs(self, x: Point, u: Scalar, derivatives: Derivatives) -> Scalar:
        return derivatives["laplacian"]
