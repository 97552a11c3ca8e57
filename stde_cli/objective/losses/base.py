from abc import abstractmethod

import equinox as eqx

from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.system.types import Points, PRNGKey, Scalar, ScalarField


class AbstractLoss(eqx.Module):
    """A scalar that is least, in expectation, where the field solves the PDE."""

    @abstractmethod
    def __call__(
        self, residual: SampledResidual, field: ScalarField, points: Points, *, key: PRNGKey
    ) -> Scalar: ...
