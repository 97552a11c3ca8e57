"""What became of a cell."""

MEASURED = "measured"
OOM = "oom"
"""Out of memory: it needs more than there is."""
TIMEOUT = "timeout"
FAILED = "failed"
REFUSED = "refused"
"""Its configuration cannot be: more directions than dimensions, say."""

UNMEASURED = (OOM, TIMEOUT, FAILED)
"""May end otherwise another time, or on another machine."""
