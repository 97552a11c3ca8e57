"""Taylor-mode automatic differentiation: jets, pushed one by one or summed on the way."""

from stde_cli.taylor.collapsed import value_and_trace as value_and_trace
from stde_cli.taylor.jets import pure_derivatives as pure_derivatives
