"""Differential operators as data: a formula, its slow meaning, and the jets that estimate it."""

from stde_cli.problem.operators.base import AbstractOperator as AbstractOperator
from stde_cli.problem.operators.base import Jets as Jets
from stde_cli.problem.operators.base import Span as Span
from stde_cli.problem.operators.base import derivative_along as derivative_along
from stde_cli.problem.operators.base import draw_together as draw_together
from stde_cli.problem.operators.base import extent as extent
from stde_cli.problem.operators.combination import Combination as Combination
from stde_cli.problem.operators.divergence import Divergence as Divergence
from stde_cli.problem.operators.drift import Drift as Drift
from stde_cli.problem.operators.gradient import Gradient as Gradient
from stde_cli.problem.operators.gradient_form import GradientForm as GradientForm
from stde_cli.problem.operators.gradient_norm import GradientNorm as GradientNorm
from stde_cli.problem.operators.known import KnowsLaplacian as KnowsLaplacian
from stde_cli.problem.operators.known import PartlyKnown as PartlyKnown
from stde_cli.problem.operators.known import Triple as Triple
from stde_cli.problem.operators.known import product_rule as product_rule
from stde_cli.problem.operators.laplacian import Laplacian as Laplacian
from stde_cli.problem.operators.partial import Partial as Partial
from stde_cli.problem.operators.partial_sums import PartialSum as PartialSum
from stde_cli.problem.operators.partial_sums import differentiated as differentiated
from stde_cli.problem.operators.partial_sums import partial_sum as partial_sum
from stde_cli.problem.operators.partial_sums import read_partials as read_partials
from stde_cli.problem.operators.polyharmonic import Polyharmonic as Polyharmonic
from stde_cli.problem.operators.second_order import SecondOrder as SecondOrder
from stde_cli.problem.operators.sum_of_partials import SumOfPartials as SumOfPartials
from stde_cli.problem.operators.weighted_trace import WeightedTrace as WeightedTrace
