"""The name by which users' own files first knew PDEs; `stde_cli.Symbolic` is today's."""

from stde_cli.problem.pdes import *  # noqa: F403
from stde_cli.problem.pdes import parameters as parameters
