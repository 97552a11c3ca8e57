"""Final errors against the dimension, a line for each learning rate, from finished runs of sweeps.

python scripts/plot_learning_rates.py SWEEP... OUT.svg
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib
import yaml

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def main(sweeps: list[Path], out: Path) -> None:
    errors: dict[float, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    trivial: dict[int, list[float]] = defaultdict(list)
    for summary in (file for sweep in sweeps for file in sorted(sweep.glob("*/summary.json"))):
        found = json.loads(summary.read_text())
        if found["status"] != "finished":
            continue
        config = yaml.safe_load((summary.parent / "config.yaml").read_text())
        errors[config["optimizer"]["learning_rate"]][found["dim"]].append(found["rel_l2_error"])
        trivial[found["dim"]].append(found["trivial_rel_l2_error"])
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for number, (rate, by_dim) in enumerate(sorted(errors.items())):
        axes.plot(*_means(by_dim), "o-", color=f"C{number}", label=f"learning rate {rate:g}")
    axes.plot(*_means(trivial), "--", color="0.5", label="trivial baseline")
    axes.set(xlabel="dimension", ylabel="relative L2 error", xscale="log", yscale="log")
    axes.legend(frameon=False)
    figure.savefig(out)


def _means(by_dim: dict[int, list[float]]) -> tuple[list[int], list[float]]:
    dims = sorted(by_dim)
    return dims, [sum(by_dim[d]) / len(by_dim[d]) for d in dims]


if __name__ == "__main__":
    *sweeps, out = map(Path, sys.argv[1:])
    main(sweeps, out)
