"""Estimators: (field, operators, x, directions) -> u and the operators' values at x.

An estimator never sees an equation. May import problem (its operators) and what is below it. Those
of others, to measure against, have a folder of their own: published/.
"""

from stde_cli.estimators.base import AbstractEstimator as AbstractEstimator
from stde_cli.estimators.base import draw_operators as draw_operators
from stde_cli.estimators.base import read_operators as read_operators
from stde_cli.estimators.exact import Exact as Exact
from stde_cli.estimators.published import HTE as HTE
from stde_cli.estimators.published import ForwardLaplacian as ForwardLaplacian
from stde_cli.estimators.published import NestedBackward as NestedBackward
from stde_cli.estimators.published import RandomizedSmoothing as RandomizedSmoothing
from stde_cli.estimators.published import SDGDBackwardPyTorch as SDGDBackwardPyTorch
from stde_cli.estimators.published import SDGDBackwardScan as SDGDBackwardScan
from stde_cli.estimators.published import SDGDBackwardVmap as SDGDBackwardVmap
from stde_cli.estimators.published import SDGDForwardOverBackward as SDGDForwardOverBackward
from stde_cli.estimators.published import TangentProp as TangentProp
from stde_cli.estimators.published import Unrestricted as Unrestricted
from stde_cli.estimators.standard_error import mean_and_standard_error as mean_and_standard_error
from stde_cli.estimators.stde import STDE as STDE
