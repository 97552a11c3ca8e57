"""Differential operators as data. `exact` is their slow, obviously right meaning."""

from stde_cli.operators.base import AbstractOperator as AbstractOperator
from stde_cli.operators.laplacian import Laplacian as Laplacian
from stde_cli.operators.partial import Partial as Partial
