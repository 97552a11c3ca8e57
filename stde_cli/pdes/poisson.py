from stde_cli._types import Derivatives, Point, Scalar
from stde_cli.pdes.manufactured import AbstractManufactured


class Poisson(AbstractManufactured):
    """Laplacian(u) = f. [STDE] appendix I.1."""

    def lhs(self, x: Point, u: Scalar, derivatives: Derivatives) -> Scalar:
        return derivatives["laplacian"]
