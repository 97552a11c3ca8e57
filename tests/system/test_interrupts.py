import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stde_cli.system.interrupts import SIGNALS, Interrupts, PassedOn


@pytest.fixture(autouse=True)
def handlers():
    """Put back after each test; at first they are as at the start of a program."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_noted_once(number):
    with Interrupts() as interrupts:
        signal.raise_signal(number)
        assert interrupts.received is number
        # A second one would take its usual effect; one of another kind is noted.
        assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)
        others = {signal.getsignal(other) for other in SIGNALS if other != number}
        assert others == {interrupts._note}
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)


def test_what_is_ignored_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGHUP)
        assert interrupts.received is None
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_another_handler_has_its_turn_after_the_work_is_saved():
    """As that of submitit, which sends the job to the queue again."""
    calls = []
    signal.signal(signal.SIGUSR2, lambda *_: calls.append("queued"))
    with Interrupts():
        signal.raise_signal(signal.SIGUSR2)
        calls.append("saved")
    assert calls == ["saved", "queued"]


def test_a_signal_that_was_blocked_is_noted():
    """Processes of a sweep start so."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        signal.raise_signal(signal.SIGTERM)
        with Interrupts() as interrupts:
            assert interrupts.received is signal.SIGTERM
            # Passed on, and from the terminal: no second one.
            signal.raise_signal(signal.SIGTERM)
        assert signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


CHILD = """
import sys, time
sys.path.insert(0, sys.argv[1])
from stde_cli.system.interrupts import Interrupts
with Interrupts() as interrupts:
    print("ready", flush=True)
    while not interrupts.received:
        time.sleep(0.01)
print("saved by", interrupts.received.name)
"""


def test_a_signal_is_passed_on():
    """Even to a child that is not ready for it yet; and the handlers are put back."""
    children = []
    with PassedOn(lambda: [child.pid for child in children]) as passed:
        command = [sys.executable, "-c", CHILD, str(Path.cwd())]
        children.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        os.kill(os.getpid(), signal.SIGTERM)
        out, _ = children[0].communicate(timeout=60)
    assert out == "ready\nsaved by SIGTERM\n"
    assert passed.received is signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_where_no_signal_comes_nothing_is_passed_on():
    with PassedOn(list) as passed:
        pass
    assert passed.received is None
