"""Levels of assurance."""

from __future__ import annotations

from smart_auth.people.assurance import PASSWORD_ALONE, TWO_FACTORS, reaches


def test_two_factors_are_enough_for_one_and_not_the_other_way() -> None:
    assert reaches(TWO_FACTORS, PASSWORD_ALONE)
    assert reaches(TWO_FACTORS, TWO_FACTORS)
    assert reaches(PASSWORD_ALONE, PASSWORD_ALONE)
    assert not reaches(PASSWORD_ALONE, TWO_FACTORS)


def test_a_level_that_is_not_known_reaches_nothing() -> None:
    for held in ("", "urn:x", TWO_FACTORS.upper()):
        assert not reaches(held, PASSWORD_ALONE)
