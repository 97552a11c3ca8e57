"""Errors of docs/accuracy.md in few steps: a start, an estimate or a precision gone wrong shows.

A bound is about three times the error at seed 0, which is run, or the mean over three seeds.
"""

import json
from pathlib import Path

import pytest

from tests.end_to_end.command import stde

LITTLE = ("evaluation.points=500", "evaluation.monitor_points=50", "evaluation.every=1000")
NEIGHBOURS = "dim=1000 steps=2 start.interactions=neighbours +experiment=polynomials"
QUICK = {f"{NEIGHBOURS} start.window=2": 1.2e-6}
SLOW = {
    NEIGHBOURS: 1.2e-6,
    "dim=1000 steps=2 +experiment=polynomials": 1.2e-6,
    "pde=poisson dim=10 start=random_features start.features=600 steps=2": 1e-5,
    "dim=100 steps=2 +experiment=polynomials": 2e-4,
    "dim=100 pde/solution=three_body steps=2 +experiment=polynomials": 2e-6,
    "dim=1000 pde/solution=three_body steps=2 +experiment=polynomials": 4e-7,
    # The paper's network, behind a radial guess.
    "dim=1000 steps=100 start.degree=0 +experiment=polynomials": 2e-3,
    "pde=anisotropic_poisson steps=20 start=least_squares": 5e-4,
}


@pytest.mark.parametrize(
    ("overrides", "bound"),
    [*QUICK.items(), *(pytest.param(*row, marks=pytest.mark.slow) for row in SLOW.items())],
)
def test_the_error_is_what_it_was(overrides: str, bound: float, tmp_path: Path) -> None:
    stde("solve", *overrides.split(), *LITTLE, "run_dir=run", cwd=tmp_path).check()
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["rel_l2_error"] < bound
