"""Runs as a program or a notebook has them."""

import shlex
import signal
from collections.abc import Sequence
from functools import cached_property, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, overload
from warnings import warn

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from stde_cli.ansatz.hard_constraint import HardConstraint
from stde_cli.config.composition import compose, override
from stde_cli.config.validate import validate
from stde_cli.config.variants import candidates
from stde_cli.jobs import trained
from stde_cli.jobs.export import export
from stde_cli.jobs.launch import launch
from stde_cli.runs.directory import RunDirectory
from stde_cli.system.errors import Interrupted, UsageError
from stde_cli.system.interrupts import Interrupts
from stde_cli.system.types import ScalarField


class Run:
    """A run of `stde solve`: its summary, its figures and the field that it trained.

    What it computes, it computes as the run's own `runtime` says; JAX is left as it was. The
    checkpoint is read when something asks for it first, the newest that is whole.

    Attributes:
        path: the run directory.
    """

    def __init__(self, directory: RunDirectory, *, trust: bool = True):
        self._directory, self._trust = directory, trust
        self.path = directory.path

    def __repr__(self) -> str:
        summary = self._directory.read_summary()
        parts = [f"{summary.pde}", f"dim {summary.dim:,}", f"{summary.steps:,} steps"]
        parts.append(summary.status)
        if summary.rel_l2_error is not None:
            parts.append(f"relative L2 error {summary.rel_l2_error:.2e}")
        return f"Run({str(self.path)!r}: {', '.join(parts)})"

    @property
    def summary(self) -> dict[str, Any]:
        """What summary.json holds: status, final figures, environment."""
        return self._directory.read_summary().as_dict()

    def metrics(self) -> Any:
        """The figures of training, a row a log event: a frame of pandas, or dicts without it."""
        rows = self._directory.read_metrics()
        return import_module("pandas").DataFrame(rows) if find_spec("pandas") else rows

    @property
    def step(self) -> int:
        """The step of the checkpoint that `field`, `predict` and `evaluate` are of."""
        return self._trained.step

    @property
    def field(self) -> HardConstraint:
        """u, an Equinox module: from a point of shape (dim,) to a scalar.

        For `jax.jit`, `grad`, `vmap` and `hessian`. A field of a run in float64 is in float32 where
        the session has no float64.
        """
        return _in_precision_of_session(self._trained.ansatz)

    @property
    def solution(self) -> ScalarField | None:
        """The exact solution, where one is known: as `field`, to hold it against."""
        return _in_precision_of_session(self._trained.built.problem.pde.solution)

    @overload
    def predict(self, points: ArrayLike) -> np.ndarray: ...
    @overload
    def predict(
        self, points: ArrayLike, derivatives: Sequence[str] | str
    ) -> tuple[np.ndarray, ...]: ...
    def predict(
        self, points: ArrayLike, derivatives: Sequence[str] | str | None = None
    ) -> np.ndarray | tuple[np.ndarray, ...]:
        """u at points, and exact derivatives of it, computed a batch at a time.

        Args:
            points: of shape (points, dim), or one of shape (dim,). A warning is given for those
                outside the domain.
            derivatives: "laplacian", or partials such as "u_x3" or "u_tx", one or a list of them;
                numbered coordinates are counted from 1.

        Returns:
            u, of shape (points,) or (); with `derivatives`, a tuple of u and each of them.

        Raises:
            UsageError: a derivative is unknown, or the points are not numbers of that shape.
        """
        loaded = self._trained
        layout = loaded.built.problem.pde.layout
        names = [derivatives] if isinstance(derivatives, str) else derivatives or ()
        operators = trained.parse_derivatives(names, layout)
        rows = _rows(points, layout.dim)
        predictor = trained.Predictor(loaded, operators, len(rows))
        starts = range(0, len(rows), predictor.batch)
        values = np.concatenate([predictor(rows[k : k + predictor.batch]) for k in starts])
        if predictor.warning:
            warn(predictor.warning, stacklevel=2)
        if np.ndim(points) == 1:
            values = values[0]
        return values[..., 0] if derivatives is None else tuple(np.moveaxis(values, -1, 0))

    def evaluate(self, points: int = 20_000, *, seed: int = 1) -> dict[str, float | int | str]:
        """What `stde evaluate` finds: errors and residual on points that training never saw.

        Raises:
            UsageError: `points` is below 1.
        """
        if points < 1:
            raise UsageError("points", points, "must be 1 or more")
        return trained.evaluate(self._trained, points=points, seed=seed)

    def export(self, out: str | Path) -> None:
        """What `stde export` writes: u, for programs that have JAX and not this package."""
        export(self._trained, Path(out))

    @cached_property
    def _trained(self) -> trained.Trained:
        return trained.load(self._directory, trust=self._trust)


def solve(*overrides: str, config_dir: str | Path | None = None, **settings: Any) -> Run:
    """Solve a PDE: what `stde solve` does, with the same overrides, checks and errors.

    An interrupt saves the state before it raises KeyboardInterrupt; `resume="auto"`, or
    `stde resume`, goes on from there. Progress is shown as the command shows it.

    Args:
        overrides: as on the command line: "pde=allen_cahn", "train.points=200",
            "+experiment=accurate".
        config_dir: a directory with YAML files of your own, as for --config-dir.
        settings: overrides too, of keys that are names: steps=200, pde="poisson", seed=3.

    Returns:
        The run, finished.

    Raises:
        UsageError: an override or the configuration cannot work; nothing is left of the run.
        RunFailed: the run turned non-finite; the last good checkpoint is kept.
        KeyboardInterrupt: of Ctrl-C, after the state was saved.

    Example:
        >>> import stde_cli as stde
        >>> run = stde.solve("pde=poisson", "network.width=8", dim=16, steps=20, run_dir="runs/a")
        compiling...
        >>> run
        Run('runs/a': poisson, dim 16, 20 steps, finished, relative L2 error ...)
        >>> u, slope = run.predict([[0.1] * 16], derivatives=["u_x3"])
        >>> u.shape, slope.shape
        ((1,), (1,))
    """
    texts = [*overrides, *(override(key, value) for key, value in settings.items())]
    config = compose("solve", texts, config_dir=config_dir)
    validate(config)
    tried = candidates(config, texts, partial(compose, "solve", config_dir=config_dir))
    where = [] if config_dir is None else ["--config-dir", str(config_dir)]
    command = shlex.join(["stde", "solve", *where, *texts])
    place = None if config.run_dir is None else Path(config.run_dir)
    try:
        with Interrupts() as interrupts:
            directory, _ = launch(
                config, place, command=command, interrupts=interrupts, candidates=tried
            )
    except Interrupted as stopped:
        if stopped.signal_number == signal.SIGINT:
            raise KeyboardInterrupt(str(stopped)) from stopped
        # The state is saved: the signal takes the effect that the program has for it.
        signal.raise_signal(stopped.signal_number)
        raise
    return Run(directory)


def load(path: str | Path, *, trust: bool = False) -> Run:
    """The run in a directory, finished or not.

    Args:
        path: the run directory.
        trust: classes that its configuration names may be imported, whoever wrote them; without it
            only those of this package and of optax.

    Raises:
        UsageError: there is no such directory, or what it holds is no run.

    Example:
        >>> import stde_cli as stde
        >>> stde.load("runs/nowhere")
        Traceback (most recent call last):
        stde_cli.system.errors.UsageError: RUN=runs/nowhere: no such directory; runs are kept ...
    """
    return Run(RunDirectory.open(Path(path)), trust=trust)


def _in_precision_of_session(tree: Any) -> Any:
    def single(leaf: Any) -> Any:
        double = isinstance(leaf, jax.Array) and leaf.dtype == np.float64
        return jnp.asarray(np.asarray(leaf), np.float32) if double else leaf

    return tree if jnp.result_type(float) == jnp.float64 else jax.tree.map(single, tree)


def _rows(points: ArrayLike, dim: int) -> np.ndarray:
    """Points in float64, one a row."""
    found = np.asarray(points)
    if found.dtype.kind not in "fiu" or found.ndim not in (1, 2) or found.shape[-1] != dim:
        why = f"is an array of shape {found.shape} and type {found.dtype}"
        raise UsageError("points", None, why, f"give numbers of shape (points, {dim})")
    rows = np.atleast_2d(np.asarray(found, np.float64))
    if not len(rows):
        raise UsageError("points", None, "holds no points")
    if not np.isfinite(rows).all():
        row = int(np.argmin(np.isfinite(rows).all(axis=1))) + 1
        raise UsageError("points", None, f"row {row} is not finite")
    return rows
