"""Values at a point that no network finds: what a trained one is held against."""

from stde_cli.problem.references.base import Reference as Reference
from stde_cli.problem.references.solvers import METHODS as METHODS
from stde_cli.problem.references.solvers import VERSION as VERSION
from stde_cli.problem.references.solvers import solve as solve
