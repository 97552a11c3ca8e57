"""Checkpoints of the trainer's state, in orbax's format. Imported only where one is used."""

import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import LatestN

from stde_cli.system.errors import RunFailed, UsageError
from stde_cli.system.files import reserve
from stde_cli.training.state import TrainerState, is_array

# Orbax reports every save on the root logger's level; what a user must know is said by us.
logging.getLogger("absl").setLevel(logging.CRITICAL)


def _silence_late_callbacks() -> None:
    """Ignore what the readers and writers of a failed call report when nobody listens any more.

    Their event loop is gone by then, and each would put a traceback on the screen. The failure
    itself was raised to us.
    """
    report = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            report(unraisable)

    sys.unraisablehook = hook


_silence_late_callbacks()


class Checkpoints:
    """The checkpoints of one run, the newest `keep` of them.

    Attributes:
        save_seconds: the longest that one took to write; None before the first.
    """

    def __init__(self, directory: Path, keep: int):
        self.run = directory.parent
        self.save_seconds: float | None = None
        self.directory = directory.absolute()
        # Synchronous: the loop donates the very buffers that an asynchronous save would still read.
        options = ocp.CheckpointManagerOptions(
            preservation_policy=LatestN(keep),
            enable_async_checkpointing=False,
            cleanup_tmp_directories=True,
        )
        handler = ocp.StandardCheckpointHandler()
        self._manager = ocp.CheckpointManager(
            self.directory, options=options, item_handlers=handler
        )

    def newest_step(self) -> int | None:
        return self._manager.latest_step()

    def save(self, state: TrainerState) -> None:
        """Write the state, unless this step is saved already.

        Raises:
            RunFailed: the state holds a number that is not finite; nothing is written.
            UsageError: the file system refuses; older checkpoints stay.
        """
        step, started = int(state.step), time.perf_counter()
        if step == self.newest_step():
            return
        if not _all_finite(eqx.filter(state.ansatz, eqx.is_array)):
            raise RunFailed(f"parameters are not finite after step {step}; {self.kept()}")
        arrays = _named_arrays(state)
        try:
            # Asked for first: orbax's writers would each report the failure in their own way.
            with tempfile.TemporaryFile(dir=self.directory) as file:
                reserve(file, sum(array.nbytes for array in arrays.values()))
            self._manager.save(step, args=ocp.args.StandardSave(arrays))
            self._manager.wait_until_finished()
        except (OSError, ValueError, RuntimeError) as error:
            for partial in self.directory.glob(f"{step}*"):
                shutil.rmtree(partial, ignore_errors=True)
            go_on = "start again" if self.newest_step() is None else f"stde resume {self.run}"
            raise UsageError(
                "run_dir",
                self.run,
                f"the checkpoint of step {step} could not be written ({_reason(error)})",
                f"{self.kept()}; free some space, then {go_on}",
            ) from error
        self.save_seconds = max(self.save_seconds or 0.0, time.perf_counter() - started)

    def restore(self, like: TrainerState) -> TrainerState:
        """The newest checkpoint, in the structure of `like`, which may be abstract.

        Raises:
            UsageError: there is none, it is damaged, or it holds another network or optimizer.
        """
        step = self.newest_step()
        if step is None:
            raise _none(self.run)
        try:
            return _read(self.run, step, like)
        except _Unreadable as error:
            older = [other for other in self._manager.all_steps() if other != step]
            mend = (
                f"move {self.run / 'checkpoints' / str(step)} elsewhere "
                f"to go on from step {max(older)}"
                if older
                else "there is no older one; start again with another run_dir"
            )
            raise UsageError("RUN", self.run, str(error), mend) from error

    def kept(self) -> str:
        step = self.newest_step()
        return "no checkpoint was written yet" if step is None else f"checkpoint {step} is kept"

    def close(self) -> None:
        self._manager.close()


def read_newest(directory: Path, like: TrainerState) -> TrainerState:
    """The newest checkpoint in `directory` that is whole, in the structure of `like`.

    Nothing is written, and a run may be at work there: what it saves or deletes meanwhile is
    looked for again.

    Raises:
        UsageError: none can be read, or the newest holds another network or optimizer.
    """
    run, failed = directory.parent, dict[int, _Unreadable]()
    while left := _steps(directory) - failed.keys():
        step = max(left)
        try:
            return _read(run, step, like)
        except _Unreadable as error:
            failed[step] = error
    if not failed:
        raise _none(run)
    raise UsageError("RUN", run, str(failed[max(failed)]), "there is no other that can be read")


class _Unreadable(Exception):
    def __init__(self, step: int, error: Exception):
        super().__init__(f"checkpoint {step} cannot be read ({_reason(error)})")


def _steps(directory: Path) -> set[int]:
    # Orbax gives a checkpoint its number once it is complete.
    return {int(path.name) for path in directory.glob("*") if path.name.isdigit()}


def _none(run: Path) -> UsageError:
    mend = "give its stde solve again, with resume=auto"
    return UsageError("RUN", run, "it has no checkpoint", mend)


def _read(run: Path, step: int, like: TrainerState) -> TrainerState:
    place = (run / "checkpoints" / str(step) / "default").absolute()
    expected = _named_arrays(like)
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as reader:
        try:
            found: Any = reader.metadata(place)
            tree = dict(found.item_metadata.tree)
            shapes = {name: (tuple(a.shape), str(a.dtype)) for name, a in tree.items()}
        except Exception as error:  # orbax raises nearly anything on a damaged directory
            raise _Unreadable(step, error) from error
        if shapes != {name: (a.shape, str(a.dtype)) for name, a in expected.items()}:
            raise UsageError(
                "RUN",
                run,
                f"checkpoint {step} does not hold the state that config.yaml describes",
                "was the configuration edited, or the run made by another version?",
            )
        abstract = {n: jax.ShapeDtypeStruct(a.shape, a.dtype) for n, a in expected.items()}
        try:
            arrays = reader.restore(place, args=ocp.args.StandardRestore(abstract))
        except Exception as error:
            raise _Unreadable(step, error) from error
    leaves, structure = jax.tree_util.tree_flatten_with_path(eqx.filter(like, is_array))
    values = [
        arrays[_name(path)] if leaf.size else jnp.zeros(leaf.shape, leaf.dtype)
        for path, leaf in leaves
    ]
    return eqx.combine(jax.tree.unflatten(structure, values), eqx.partition(like, is_array)[1])


def _named_arrays(state: TrainerState) -> dict[str, Any]:
    """The state's arrays, or their shapes, by path: "ansatz.network.first.weight" and so on.

    Empty ones, which orbax does not save, are left out.
    """
    arrays = eqx.filter(state, is_array)
    leaves, _ = jax.tree_util.tree_flatten_with_path(arrays)
    return {_name(path): leaf for path, leaf in leaves if leaf.size}


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


@jax.jit
def _all_finite(parameters) -> jax.Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(p)) for p in jax.tree.leaves(parameters)]))


def _reason(error: Exception) -> str:
    """The first words of an error, on one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__
