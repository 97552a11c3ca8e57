from typing import NamedTuple


class Reference(NamedTuple):
    """A value that no network found.

    Attributes:
        error: an estimate of |value - u|: the difference of two resolutions, or a standard error
            with what a coarser level says of the bias.
        method: the solver's name.
        seconds: that it took.
    """

    value: float
    error: float
    method: str
    seconds: float
