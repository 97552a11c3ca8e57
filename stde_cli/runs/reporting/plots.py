"""Plots in files of their own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

from stde_cli.runs.reporting.panels import Panel, are_empty
from stde_cli.runs.reporting.pictures import log_log_figure
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


def plot_log_log(panels: Sequence[Panel], key: str, path: Path) -> None:
    """Quantities on logarithmic scales, as a page has them.

    Raises:
        UsageError: at `key`: there is nothing to draw, or the file cannot be written.
    """
    if are_empty(panels):
        raise UsageError(key, path, "nothing was measured that could be drawn")
    with log_log_figure(panels) as figure:
        _save(figure, key, path)


def _save(figure: Figure, key: str, path: Path) -> None:
    try:
        figure.savefig(path, dpi=150, facecolor="white")
    except (OSError, ValueError) as error:
        raise UsageError(key, path, f"cannot be written ({error})") from error
    finally:
        plt.close(figure)
