"""Methods side by side, at several settings, each in a process of its own.

A kind of benchmark is a module with `measure`, a generator that takes a turn at a time, the
`Figures` it finds, the `COLUMNS` to show, and `speed_of` a row, which ratios are of.
"""

from stde_cli.jobs.benchmarks.cells import groups_of as groups_of
from stde_cli.jobs.benchmarks.matrix import Matrix as Matrix
from stde_cli.jobs.benchmarks.progress import Progress as Progress
