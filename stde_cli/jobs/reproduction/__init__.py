"""The paper's tables: cells are commands, a directory holds what they found, a page shows it.

A table is data (configs/reproduce/). Each of its cells is one `stde bench` or `stde solve`, run as
a process of its own in a directory of its own, which holds its result: whoever fills the table
finds what is there, goes on with what was begun, and leaves what another is at.
"""

from stde_cli.jobs.reproduction.reproduction import Reproduction as Reproduction
from stde_cli.jobs.reproduction.reproduction import fill as fill
from stde_cli.jobs.reproduction.reproduction import show as show
from stde_cli.jobs.reproduction.reproduction import show_expected as show_expected
from stde_cli.jobs.reproduction.tables import Scale as Scale
from stde_cli.jobs.reproduction.tables import load as load
