"""Estimators: (field, operators, x, directions) -> u and the operators' values at x.

An estimator never sees an equation. May import problem (its operators) and what is below it.
"""

from stde_cli.estimators.base import AbstractEstimator as AbstractEstimator
from stde_cli.estimators.baselines import NestedBackward as NestedBackward
from stde_cli.estimators.baselines import Unrestricted as Unrestricted
from stde_cli.estimators.exact import Exact as Exact
from stde_cli.estimators.standard_error import mean_and_standard_error as mean_and_standard_error
from stde_cli.estimators.stde import STDE as STDE
