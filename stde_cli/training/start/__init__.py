"""Where training starts, and in what units: found from the PDE's own data, never from its solution.

In many dimensions the solution is close to a multiple of the constraint, and that multiple may be
in the hundreds. A network that starts at zero needs a thousand steps to get there, and one that is
not scaled meets gradients of any size.
"""

from stde_cli.training.start.base import AbstractStart as AbstractStart
from stde_cli.training.start.base import FromNetwork as FromNetwork
from stde_cli.training.start.base import Start as Start
from stde_cli.training.start.base import Units as Units
from stde_cli.training.start.base import is_exact_in_one_pass as is_exact_in_one_pass
from stde_cli.training.start.interactions import told as told
from stde_cli.training.start.least_squares import FromLeastSquares as FromLeastSquares
from stde_cli.training.start.random_features import FromRandomFeatures as FromRandomFeatures
from stde_cli.training.start.trivial import FromTrivialSolution as FromTrivialSolution
