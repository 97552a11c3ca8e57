"""Where a PDE holds, and how collocation points are drawn there."""

from stde_cli.domains.ball import Ball as Ball
from stde_cli.domains.base import AbstractDomain as AbstractDomain
