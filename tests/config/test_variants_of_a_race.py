"""The candidates of a race are composed beneath what the user typed."""

from functools import partial

import pytest

from stde_cli.config.composition import compose
from stde_cli.config.variants import Candidate, candidates
from stde_cli.system.errors import UsageError


def tried(*typed: str) -> list[Candidate]:
    overrides = [*typed, "+experiment=accurate"]
    return candidates(compose("solve", overrides), overrides, partial(compose, "solve"))


def starts(found: list[Candidate]) -> dict[str, str]:
    return {candidate.name: candidate.config.choices.start for candidate in found}


def test_features_are_for_few_coordinates_and_polynomials_for_more() -> None:
    few, many = starts(tried("pde=wave")), starts(tried("dim=1000"))
    assert list(few) == ["features", "symmetric", "gauss_newton", "network"]
    assert many == {"polynomials": "least_squares", "network": "trivial_solution"}


def test_what_the_user_chose_is_not_changed() -> None:
    found = tried("dim=100", "start=network", "optimizer.learning_rate=0.1")
    assert starts(found) == {"polynomials": "network"}
    assert found[0].config.optimizer.learning_rate == 0.1
    assert not found[0].config.race.candidates


def test_keys_of_a_choice_stay_with_that_choice() -> None:
    found = {c.name: c.config for c in tried("pde=poisson", "dim=10", "start.degree=2")}
    assert found["polynomials"].start.degree == 2
    assert "degree" not in found["features"].start
    assert found["features"].runtime.precision == "float64"
    assert found["network"].runtime.precision == "float32"


def test_the_same_is_not_tried_twice_nor_longer_than_the_run() -> None:
    again = "race.candidates.network.overrides=['loss=residual']"
    found = tried("dim=1000", again, "steps=70", "+race.candidates.polynomials.steps=5")
    assert [(c.name, c.steps) for c in found] == [("polynomials", 5)]
    assert [c.steps for c in tried("dim=1000", "steps=70")] == [70, 70]


def test_numbers_that_were_typed_stay() -> None:
    found = {c.name: c.config for c in tried("pde=wave", "train.points=70")}
    assert (found["gauss_newton"].train.points, found["gauss_newton"].steps) == (70, 500)
    assert {c.name: c.config for c in tried("pde=wave", "steps=9")}["gauss_newton"].steps == 9
    # Not those of another network.
    wide = {c.name: c.config for c in tried("pde=wave", "network.width=64")}
    assert (wide["gauss_newton"].network.width, wide["network"].network.width) == (24, 64)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["race.candidates.network.overrides=['seed=3']"], "overrides=seed=3: candidates are of"),
        (["race.candidates.network.overrides=['loss']"], r"network.overrides\[0\]=loss: is no ov"),
        (["race.candidates.network.overrides=['loss=residul']"], "did you mean residual"),
        (["race.candidates.network.overrides=['setps=3']"], "did you mean steps"),
        (["~race.candidates.polynomials", "start=network"], "race.candidates: none is left"),
    ],
)
def test_what_cannot_be_tried_is_refused(typed: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        tried("dim=100", *typed)
