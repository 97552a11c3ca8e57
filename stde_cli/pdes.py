"""The name by which users' own files first knew PDEs; `stde_cli.Symbolic` is today's."""

import sys

from stde_cli.problem import pdes

sys.modules[__name__] = pdes
