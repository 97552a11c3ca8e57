"""Expressions: from the text of a configuration to values, derivatives and scalar fields."""

from stde_cli.expressions.algebra import degree_in as degree_in
from stde_cli.expressions.algebra import is_kinked as is_kinked
from stde_cli.expressions.algebra import with_coordinate as with_coordinate
from stde_cli.expressions.evaluation import coefficient_at as coefficient_at
from stde_cli.expressions.evaluation import evaluate as evaluate
from stde_cli.expressions.evaluation import evaluate_vector as evaluate_vector
from stde_cli.expressions.faults import ExpressionError as ExpressionError
from stde_cli.expressions.faults import fault as fault
from stde_cli.expressions.field import Field as Field
from stde_cli.expressions.layout import FUNCTIONS as FUNCTIONS
from stde_cli.expressions.layout import RESERVED as RESERVED
from stde_cli.expressions.layout import Layout as Layout
from stde_cli.expressions.nodes import Derivative as Derivative
from stde_cli.expressions.nodes import Drift as Drift
from stde_cli.expressions.nodes import GradNorm2 as GradNorm2
from stde_cli.expressions.nodes import Laplacian as Laplacian
from stde_cli.expressions.nodes import Node as Node
from stde_cli.expressions.nodes import Partial as Partial
from stde_cli.expressions.nodes import Polyharmonic as Polyharmonic
from stde_cli.expressions.nodes import SumOfPartials as SumOfPartials
from stde_cli.expressions.nodes import Target as Target
from stde_cli.expressions.nodes import Trace as Trace
from stde_cli.expressions.nodes import derivatives as derivatives
from stde_cli.expressions.nodes import render as render
from stde_cli.expressions.parser import parse as parse
from stde_cli.expressions.parser import split_source as split_source
