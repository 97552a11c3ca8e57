from typing import ClassVar

from jaxtyping import PyTree

from stde_cli.estimators.base import AbstractEstimator, Operators
from stde_cli.system.errors import UsageError
from stde_cli.system.ranges import Count
from stde_cli.system.types import Derivatives, Point, PRNGKey, Scalar, ScalarField


class SDGDBackwardPyTorch(AbstractEstimator):
    """Stochastic dimension gradient descent in PyTorch: the whole training step, not ours.

    The first row of [STDE] tables 1 to 6, after Hu, Shukla, Karniadakis, Kawaguchi, "Tackling the
    curse of dimensionality with physics-informed neural networks" (2023, arXiv 2307.12306),
    algorithm 1. A loop over the sampled coordinates differentiates the gradient once more:

        Laplacian(u) ~ (dim/batch) sum over sampled i of d/dx_i (du/dx_i).

    `stde bench` runs that step in a process of its own, without a line of JAX in it; nothing else
    can take this estimator.
    """

    batch: Count
    trains_itself: ClassVar[bool] = True

    def draw(self, operators: Operators, dim: int, *, key: PRNGKey) -> PyTree:
        why = "it is a training step in PyTorch, for `stde bench` alone to measure the speed of"
        mend = "choose another here, or type: stde bench bench.methods=[stde,sdgd_backward_pytorch]"
        raise UsageError("estimator", "sdgd_backward_pytorch", why, mend)

    def __call__(
        self, field: ScalarField, operators: Operators, x: Point, drawn: PyTree
    ) -> tuple[Scalar, Derivatives]:
        raise NotImplementedError("nothing is drawn for it")
