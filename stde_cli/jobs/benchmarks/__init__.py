"""Methods side by side, one method a process.

A kind of benchmark is a module with `measure`, the `Figures` it finds, and the `COLUMNS` to show.
"""

from stde_cli.jobs.benchmarks.child import Unmeasured as Unmeasured
from stde_cli.jobs.benchmarks.child import in_child as in_child
