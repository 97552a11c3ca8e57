"""What is left of an equation and its conditions, where it is known without points."""

import jax.numpy as jnp
import pytest

from stde_cli.ansatz.guess import no_guess
from stde_cli.ansatz.hard_constraint import HardConstraint, Zero
from stde_cli.estimators import Exact
from stde_cli.objective.held_out import Sizes, left_over
from stde_cli.objective.metrics import Evaluator
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.pdes import Symbolic
from stde_cli.system.prng import make_key


@pytest.mark.parametrize("points", [1, 30, 5000])
def test_constant_residuals_of_zero_are_weighed_and_added(points: int, float64: None) -> None:
    conditions = [
        {"at": {"x": "boundary"}, "residual": "u - 2", "weight": 3},
        {"at": {"t": 0}, "residual": "u + 5", "weight": 0.1},
    ]
    pde = Symbolic(
        2,
        coordinates={"t": [0, 1], "x": [-1, 2]},
        residual="u_t - u_xx - 7",
        conditions=conditions,
        key=make_key(0),
    )
    ansatz = HardConstraint(
        Zero(), pde.constraint, jnp.ones(()), no_guess(pde.constraint), pde.lift
    )
    evaluator, looks = Evaluator(SampledResidual(pde, Exact()), 20), []
    found = left_over(
        ansatz,
        evaluator,
        Sizes(equation=4.0, conditions=0.5),
        points,
        key=make_key(1),
        between=lambda: looks.append(1),
    )
    assert found == pytest.approx((49 / 4 + (3 * 4 + 0.1 * 25) / 0.5) ** 0.5, rel=1e-12)
    assert looks
