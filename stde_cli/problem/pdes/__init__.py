"""Partial differential equations. A PDE names operators, never an estimator."""

from stde_cli.problem.pdes import parameters as parameters
from stde_cli.problem.pdes.allen_cahn import AllenCahn as AllenCahn
from stde_cli.problem.pdes.base import AbstractPDE as AbstractPDE
from stde_cli.problem.pdes.conditions import AbstractCondition as AbstractCondition
from stde_cli.problem.pdes.manufactured import AbstractManufactured as AbstractManufactured
from stde_cli.problem.pdes.poisson import Poisson as Poisson
from stde_cli.problem.pdes.sine_gordon import SineGordon as SineGordon
from stde_cli.problem.pdes.solutions import AbstractSolution as AbstractSolution
from stde_cli.problem.pdes.solutions import ThreeBody as ThreeBody
from stde_cli.problem.pdes.solutions import TwoBody as TwoBody
from stde_cli.problem.pdes.symbolic import Symbolic as Symbolic
