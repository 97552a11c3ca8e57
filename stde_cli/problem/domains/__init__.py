"""Where a PDE holds, and how collocation points are drawn there."""

from stde_cli.problem.domains.ball import Ball as Ball
from stde_cli.problem.domains.base import AbstractDomain as AbstractDomain
from stde_cli.problem.domains.base import Circles as Circles
from stde_cli.problem.domains.box import Box as Box
from stde_cli.problem.domains.diffusion import Diffusion as Diffusion
from stde_cli.problem.domains.gaussian import Gaussian as Gaussian
from stde_cli.problem.domains.processes import AbstractProcess as AbstractProcess
from stde_cli.problem.domains.processes import Brownian as Brownian
from stde_cli.problem.domains.processes import GeometricBrownian as GeometricBrownian
from stde_cli.problem.domains.processes import OrnsteinUhlenbeck as OrnsteinUhlenbeck
from stde_cli.problem.domains.product import Product as Product
from stde_cli.problem.domains.torus import Torus as Torus
