"""Plots. Matplotlib is imported here alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from stde_cli.system.errors import UsageError

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure


def plot_history(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Loss and relative errors of a run over its steps, from the rows of metrics.jsonl.

    Raises:
        UsageError: there is nothing to draw, or the file cannot be written.
    """
    if not rows:
        raise UsageError("--plot", path, "the run kept no metrics", "train with tracker=jsonl")
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.plot([row["step"] for row in rows], [row.get("loss") for row in rows], color="C0", lw=1)
    left.set(xlabel="step", ylabel="loss", yscale="log")
    evaluated = [row for row in rows if "rel_l2_error" in row]
    labels = {
        "rel_l2_error": ("relative L2", "C0", "-"),
        "rel_l1_error": ("relative L1", "C1", "-"),
        "trivial_rel_l2_error": ("trivial baseline, L2", "0.5", "--"),
    }
    for key, (label, color, style) in labels.items():
        steps = [row["step"] for row in evaluated]
        right.plot(steps, [row.get(key) for row in evaluated], style, color=color, label=label)
    right.set(xlabel="step", ylabel="error", yscale="log")
    if evaluated:
        right.legend(frameon=False)
    _save(figure, "--plot", path)


def plot_against_dimension(
    curves: Mapping[str, Sequence[Mapping[str, Any]]], key: str, path: Path
) -> None:
    """Speed and memory of each curve's rows over their `dim`, on logarithmic scales.

    Raises:
        UsageError: at `key`: there is nothing to draw, or the file cannot be written.
    """
    if not curves:
        raise UsageError(key, path, "nothing was measured that could be drawn")
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharex=True)
    quantities = {"steps_per_second": "steps a second", "peak_memory_mb": "peak memory, MB"}
    for part, (quantity, label) in zip(axes, quantities.items(), strict=True):
        for name, rows in curves.items():
            known = sorted((row["dim"], row[quantity]) for row in rows if row.get(quantity))
            if known:
                part.plot(*zip(*known, strict=True), "o-", label=name, markersize=4)
        part.set(xlabel="dimension", ylabel=label, xscale="log", yscale="log")
        part.grid(alpha=0.3)
    axes[0].legend(frameon=False)
    _save(figure, key, path)


def _save(figure: Figure, key: str, path: Path) -> None:
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise UsageError(key, path, f"cannot be written ({error})") from error
    finally:
        plt.close(figure)
