"""Taylor-mode automatic differentiation: what to push, and how it is pushed."""

from stde_cli.autodiff.taylor.derivatives import derivatives as derivatives
from stde_cli.autodiff.taylor.derivatives import execute as execute
from stde_cli.autodiff.taylor.jets import pure_derivatives as pure_derivatives
from stde_cli.autodiff.taylor.polynomials import COLLAPSED as COLLAPSED
from stde_cli.autodiff.taylor.polynomials import down_closure as down_closure
from stde_cli.autodiff.taylor.polynomials import push as push
from stde_cli.autodiff.taylor.polynomials import push_together as push_together
from stde_cli.autodiff.taylor.polynomials import value_and_trace as value_and_trace
