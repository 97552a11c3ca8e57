from abc import abstractmethod

import equinox as eqx

from stde_cli.estimators import AbstractEstimator
from stde_cli.problem.pdes import AbstractPDE
from stde_cli.system.types import Points, PRNGKey, Scalar, ScalarField


class AbstractLoss(eqx.Module):
    """A scalar that is least, in expectation, where the field solves the PDE."""

    @abstractmethod
    def __call__(
        self,
        pde: AbstractPDE,
        estimator: AbstractEstimator,
        field: ScalarField,
        points: Points,
        *,
        key: PRNGKey,
    ) -> Scalar: ...
