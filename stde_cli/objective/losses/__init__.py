"""What a field makes of a sampled residual: scalars to minimise."""

from stde_cli.objective.losses.base import AbstractLoss as AbstractLoss
from stde_cli.objective.losses.base import AbstractSumOfSquares as AbstractSumOfSquares
from stde_cli.objective.losses.base import Squares as Squares
from stde_cli.objective.losses.conditions import condition_loss as condition_loss
from stde_cli.objective.losses.conditions import condition_squares as condition_squares
from stde_cli.objective.losses.gradient_enhanced import GradientEnhanced as GradientEnhanced
from stde_cli.objective.losses.gradient_enhanced import (
    residual_and_gradient as residual_and_gradient,
)
from stde_cli.objective.losses.published import GPINN as GPINN
from stde_cli.objective.losses.residual import Residual as Residual
from stde_cli.objective.losses.residual import UnbiasedResidual as UnbiasedResidual
