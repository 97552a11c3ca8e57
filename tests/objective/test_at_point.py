"""The value where it is wanted, what it is held against, and what is said of far points."""

from typing import Any

import numpy as np
import pytest

from stde_cli.objective.at_point import far_from_point, reference_at, value_at_point
from stde_cli.problem.pdes.symbolic import Symbolic
from stde_cli.system.errors import UsageError
from stde_cli.system.prng import make_key

DIM = 100
WANTED = {"t": 0.3, "x": 0}


def pde(family: dict[str, Any] | None = None, **options: Any) -> Symbolic:
    given = {
        "coordinates": {"t": [0, 0.3], "x": family or {"diffusion": 1.4}},
        "residual": "u_t - laplacian(u)",
        "value_at": WANTED,
        "parameters": {"a": 2.0},
    }
    return Symbolic(DIM, key=make_key(0), **given | options)


def test_the_solution_is_the_reference_and_else_what_is_given() -> None:
    assert reference_at(pde(solution="cos(x1) + t")) == pytest.approx(1.3)
    given = [
        {"value": 5, "when": {"dim": 99}},
        {"value": 7, "when": {"dim": 100, "t": 0.3, "a": 2}},
    ]
    assert reference_at(pde(reference=given)) == 7
    assert reference_at(pde(reference={"value": 7, "when": {"a": 3}})) is None
    assert reference_at(pde(reference={"value": 7, "error": 1, "of": "a book"})) == 7
    assert reference_at(pde(value_at=None, coordinates={"t": [0, 1], "x": {"ball": 1}})) is None


def test_the_error_is_against_the_reference() -> None:
    found = value_at_point(lambda x: 3 + x[0], pde(reference={"value": 3.0}))
    assert found is not None
    np.testing.assert_allclose(np.array(found, float), (3.3, 3.0, 0.1), rtol=1e-6)
    unknown = value_at_point(lambda x: x[0], pde())
    assert unknown is not None
    assert unknown[1:] == (None, None)


@pytest.mark.parametrize(
    ("family", "wanted", "told"),
    [
        ({"diffusion": 1.4}, WANTED, None),
        ({"gaussian": 1}, WANTED, "the nearest of 1,000 is 0."),
        ({"box": [-1, 1]}, WANTED, "take x: {diffusion: volatility}"),
        ({"ball": 1}, WANTED, None),
        ({"ball": 1}, {"t": 0.3, "x": 1}, "do not come near value_at"),
    ],
)
def test_points_that_keep_away_are_told(
    family: dict[str, Any], wanted: dict[str, Any], told: str | None
) -> None:
    found = far_from_point(pde(family, value_at=wanted), key=make_key(1))
    assert (found is None) == (told is None)
    assert told is None or told in (found or "")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({"error": 1}, "pde.reference={'error': 1}: has no value"),
        ([{"value": 1, "off": 2}], "pde.reference[0].off: no such key"),
        ({"value": 1, "when": {"b": 2}}, "pde.reference.when=b: is not known"),
    ],
)
def test_a_reference_that_makes_no_sense_is_refused(reference: Any, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        pde(reference=reference)
    assert str(refused.value).startswith(message)
