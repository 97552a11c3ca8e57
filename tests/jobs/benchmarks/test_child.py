"""A measurement in a process of its own: its turns, and the ways in which it may end."""

import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest
from omegaconf import DictConfig, OmegaConf

from stde_cli.config.composition import compose
from stde_cli.jobs.benchmarks import child
from stde_cli.jobs.benchmarks.child import Child, Measurement, Unmeasured
from stde_cli.system.errors import UsageError
from stde_cli.system.interrupts import SIGNALS


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> DictConfig:
    # From a process that has imported what these need, which takes seconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    monkeypatch.setattr(child, "get_context", lambda _: context)
    return compose("bench", [])


@pytest.fixture
def started() -> Iterator[list[Child]]:
    children: list[Child] = []
    yield children
    for each in children:
        each.close()


def counting(config: DictConfig) -> Measurement:
    yield "one"
    yield "two"
    return {"dim": config.dim, "process": os.getpid()}


def greedy(_: DictConfig) -> Measurement:
    yield "taking"
    soft = resource.getrlimit(resource.RLIMIT_DATA)[0]
    return jnp.ones(soft, jnp.uint8).sum()


def killed(_: DictConfig) -> Measurement:
    yield "dying"
    os.kill(os.getpid(), signal.SIGKILL)


def aborted(_: DictConfig) -> Measurement:
    yield "dying"
    print("what():  std::bad_alloc", file=sys.stderr, flush=True)
    os.abort()


def unfitting(config: DictConfig) -> Measurement:
    yield "compiling"
    raise Unmeasured("needs 90 GB", "oom")


def faulty(_: DictConfig) -> Measurement:
    yield "dying"
    print("the last words", file=sys.stderr, flush=True)
    os._exit(3)


def refused(_: DictConfig) -> Measurement:
    yield "refusing"
    raise UsageError("dim", 3, "is odd")


def wrong(_: DictConfig) -> Measurement:
    yield "failing"
    raise LookupError("nothing there")


def endless(_: DictConfig) -> Measurement:
    yield "waiting"
    time.sleep(100)


def test_it_goes_on_when_it_is_told_to(config: DictConfig, started: list[Child]) -> None:
    OmegaConf.update(config, "dim", 7)
    started += [Child(counting, config), Child(counting, config, taken_bytes=1)]
    for doing in ("one", "two"):
        assert [each.turn(lambda: None, None) for each in started] == [None, None]
        assert [each.doing for each in started] == [doing, doing]
    first, second = [each.turn(lambda: None, None) for each in started]
    assert first["dim"] == second["dim"] == 7
    assert first["process"] != second["process"]


@pytest.mark.parametrize(
    ("measure", "status", "note"),
    [
        (greedy, "oom", "RESOURCE_EXHAUSTED: Out of memory allocating"),
        (killed, "oom", "the kernel ended its process"),
        (aborted, "oom", "bad_alloc"),
        (faulty, "failed", "status 3: the last words"),
        (unfitting, "oom", "needs 90 GB"),
        (endless, "timeout", "not done in 0.3 seconds: waiting"),
    ],
)
def test_its_end_is_told(
    measure: Any, status: str, note: str, config: DictConfig, started: list[Child]
) -> None:
    each = Child(measure, config)
    started.append(each)
    # Its start is not what is limited here.
    assert each.turn(lambda: None, None) is None
    each.seconds = 0
    with pytest.raises(Unmeasured) as caught:
        each.turn(lambda: None, 0.3 if measure is endless else None)
    assert caught.value.status == status
    assert note in caught.value.note


@pytest.mark.parametrize(
    ("measure", "kind", "text"),
    [(refused, UsageError, "dim=3: is odd"), (wrong, UsageError, "LookupError: nothing there")],
)
def test_faults_are_told_as_they_are(
    measure: Any, kind: type, text: str, config: DictConfig, started: list[Child]
) -> None:
    each = Child(measure, config)
    started.append(each)
    each.turn(lambda: None, None)
    with pytest.raises(kind, match=text):
        each.turn(lambda: None, None)


def test_what_it_says_is_kept_out_of_the_view(
    config: DictConfig, started: list[Child], capfd: pytest.CaptureFixture[str]
) -> None:
    each = Child(faulty, config)
    said = Path(each._said)
    each.turn(lambda: None, None)
    with pytest.raises(Unmeasured):
        each.turn(lambda: None, None)
    each.close()
    assert "last words" not in capfd.readouterr().err
    assert not said.exists()


def test_signals_are_the_parents_to_handle(
    config: DictConfig, started: list[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal tells all processes, even one that is about to start."""
    monkeypatch.setattr(child, "get_context", multiprocessing.get_context)
    each = Child(counting, config)
    started.append(each)
    for number in SIGNALS:
        assert each._process.pid
        os.kill(each._process.pid, number)
    assert each.turn(lambda: None, None) is None
    assert each.doing == "one"
