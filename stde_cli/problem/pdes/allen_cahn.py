from stde_cli.problem.pdes.manufactured import AbstractManufactured
from stde_cli.system.types import Derivatives, Point, Scalar


class AllenCahn(AbstractManufactured):
    """Laplacian(u) + u - u^3 = f. [STDE] appendix I.1."""

    def lhs(self, x: Point, u: Scalar, derivatives: Derivatives) -> Scalar:
        return derivatives["laplacian"] + u - u**3
