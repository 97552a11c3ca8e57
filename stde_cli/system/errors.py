"""What a user is told when a run cannot go on, and the exit status that goes with it."""


class StdeError(Exception):
    """Base of every error that is shown as one line, without a traceback."""

    status = 1
    detail: str = ""
    """Lines shown below the message as they are: where in a longer text the fault lies."""


class UsageError(StdeError):
    """A value that the user gave cannot work.

    Args:
        where: the config key or command-line argument, as the user would type it.
        value: the value found there.
        why: what is wrong with it.
        mend: what to type instead.
        detail: lines to show below, for a fault within a longer text.
    """

    status = 2

    def __init__(self, where: str, value: object, why: str, mend: str = "", detail: str = ""):
        self.where, self.value, self.why, self.mend = where, value, why, mend
        self.detail = detail
        line = f"{where}={value}: {why}" if value is not None else f"{where}: {why}"
        super().__init__(f"{line}; {mend}" if mend else line)

    def __reduce__(self):
        # Sweeps run in other processes: the parts must survive pickling.
        return type(self), (self.where, self.value, self.why, self.mend, self.detail)


class DoesNotFit(UsageError):
    """What the user asks for is more than this machine has."""


class RunFailed(StdeError):
    """The run started properly and then failed, for example by turning non-finite."""


class JobFailed(StdeError):
    """A job of a sweep failed, and has said why."""

    def __init__(self, number: int, status: int):
        super().__init__(f"job {number} of the sweep failed")
        self.number, self.status = number, status

    def __reduce__(self):
        return type(self), (self.number, self.status)


class SweepFailed(StdeError):
    """Jobs of a sweep failed or did not finish; each has said why."""

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


class Interrupted(StdeError):
    """A signal stopped the run after its state was saved; status is 128 + signal number."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.signal_number = signal_number
        self.status = 128 + signal_number

    def __reduce__(self):
        return type(self), (str(self), self.signal_number)


class Pruned(StdeError):
    """The study that a run is a trial of gives it up; its state was saved first."""

    status = 0


class Unexpected(StdeError):
    """What nobody foresaw: a fault of this program, or of a class of the user's."""

    def __init__(self, error: BaseException | str):
        if isinstance(error, BaseException):
            reason = " ".join(str(error).split("\n\n")[0].split())
            error = f"{type(error).__name__}: {reason}".rstrip(": ")
        self.told = error
        super().__init__(f"{error}; STDE_TRACEBACK=1 shows where")

    def __reduce__(self):
        return type(self), (self.told,)
