from abc import abstractmethod

import equinox as eqx

from stde_cli._types import Points, PRNGKey, Scalar, ScalarField
from stde_cli.estimators import AbstractEstimator
from stde_cli.pdes import AbstractPDE


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
