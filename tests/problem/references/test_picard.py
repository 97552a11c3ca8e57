"""Picard iterations against the spectral method, their cost, and what is refused."""

from unittest import mock

import pytest

from stde_cli.problem.references import picard as module
from stde_cli.problem.references.picard import picard, points
from stde_cli.problem.references.radial import radial
from stde_cli.system.errors import UsageError
from stde_cli.system.prng import make_key
from tests.problem.references.problems import structure

HEAT = "u_t - laplacian(u) - (1 - u**2)/(1 + u**2)"
CUBIC = "u_t - laplacian(u) - u + u**3"


@pytest.mark.slow
def test_the_value_of_a_radial_problem(float64: None) -> None:
    problem = structure(100, HEAT, initial="5/(10 + 2*norm2(x))")
    true, _ = radial(problem)
    value, error = picard(problem, level=3, error=2e-2, seconds=60, key=make_key(0))
    assert error < 2e-2
    assert abs(value - true) < 3 * error


def test_a_level_counts_its_points() -> None:
    # At level 1: M draws of the data, M of the source.
    assert points(1) == 8
    # At 2: M^2 of the data, M^2 of level 0, M of level 1, which cost as much each.
    assert points(2) == 16 + 16 + 4 * (1 + 8)


def test_what_does_not_fit_is_refused_with_the_figure(float64: None) -> None:
    problem = structure(3, CUBIC, initial="x1")
    with (
        mock.patch.object(module, "available_host_bytes", return_value=10**9),
        pytest.raises(UsageError, match=r"reference.level=8: takes .* GB, half of 1.0 GB"),
    ):
        picard(problem, level=8, key=make_key(0))
    with pytest.raises(UsageError, match=r"reference.level=5: takes about .* s more"):
        picard(problem, level=5, seconds=1e-3, error=1.0, key=make_key(0))


def test_gradients_are_not_its_business(float64: None) -> None:
    with pytest.raises(UsageError, match="the gradient of u"):
        picard(structure(3, "u_t - laplacian(u) - u*u_x1", initial="x2"), key=make_key(0))


@pytest.mark.slow
@pytest.mark.parametrize(("dim", "printed"), [(10, 0.89060), (100, 1.04510), (1000, 1.09100)])
def test_published_values(dim: int, printed: float, float64: None) -> None:
    problem = structure(dim, CUBIC, initial="arctan(max(i, x[i]))")
    value, error = picard(problem, error=2e-3, key=make_key(0))
    # Published with errors of its own, of about 1e-3.
    assert abs(value - printed) < 3 * (error + 1e-3)
