import equinox as eqx

from stde_cli.ansatz.networks.mlp import MLP, Activation
from stde_cli.ansatz.windows import WindowPolynomials
from stde_cli.autodiff.directions import AbstractDirections
from stde_cli.problem.operators import KnowsLaplacian
from stde_cli.system.ranges import Count, Degree, Depth, Window
from stde_cli.system.types import Point, PRNGKey, RestrictedField, Scalar

_RATE = 10.0
"""How much faster than the MLP's weights the readout learns: by trial, at d = 100 and 1 000."""


class AdditiveMLP(eqx.Module):
    """An MLP plus polynomials of windows of neighbouring coordinates, each with its own readout.

    The MLP holds what a few directions explain, the polynomials a sum over all coordinates. Both
    start at zero: the MLP by its last layer. The polynomials' readout is scaled by 1/sqrt(dim), so
    that a sum over all of them is of order 1 when its numbers are.

    Raises:
        ValueError: the window holds no coordinate.
    """

    mlp: MLP
    polynomials: WindowPolynomials

    def __init__(
        self,
        dim: int,
        *,
        window: Window = 2,
        degree: Degree = 3,
        width: Count = 128,
        depth: Depth = 4,
        activation: Activation = "tanh",
        key: PRNGKey,
    ):
        self.mlp = MLP(dim, width=width, depth=depth, activation=activation, key=key).silenced()
        self.polynomials = WindowPolynomials(range(dim), window=window, degree=degree)

    def __call__(self, x: Point) -> Scalar:
        return self.mlp(x) + self._scaled()(x)

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        mlp, polynomials = (part.restrict(x, directions) for part in (self.mlp, self._scaled()))
        return lambda s: mlp(s) + polynomials(s)

    def split(self) -> tuple[MLP, KnowsLaplacian]:
        """The MLP, and the polynomials, whose derivatives are known."""
        return self.mlp, self._scaled()

    def _scaled(self) -> WindowPolynomials:
        factor = _RATE * self.polynomials.readout.shape[1] ** -0.5
        return eqx.tree_at(lambda p: p.readout, self.polynomials, replace_fn=lambda r: factor * r)
