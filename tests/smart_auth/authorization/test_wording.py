"""Scopes in plain words."""

from __future__ import annotations

from datetime import timedelta

from smart_auth.authorization.scopes import parse_scope, parse_scopes
from smart_auth.authorization.wording import choices_of, duration_of, offered_values


def test_each_scope_is_one_sentence_that_says_what_and_whose() -> None:
    words = [choice.words for choice in choices_of(parse_scopes(
        "patient/Observation.rs user/Condition.cud patient/*.read patient/Basic.r "
        "patient/Observation.r?category=http://terminology.hl7.org/CodeSystem/"
        "observation-category|laboratory&status=final offline_access"
    ))]  # fmt: skip
    assert words == [
        "See and search results and measurements of this patient",
        "Add, change and delete conditions and diagnoses of all patients you may see",
        "See and search everything in the record of this patient",
        "See Basic of this patient",
        "See results and measurements, only laboratory results and status final, of this patient",
        "Keep its access when you are away, until it is revoked",
    ]


def test_every_finer_choice_is_included_in_the_scope_it_refines() -> None:
    scopes = parse_scopes("patient/Condition.rs user/Observation.read")
    whole = dict(zip(scopes.resources, choices_of(scopes), strict=True))
    for scope, choice in whole.items():
        assert choice.parts
        assert all(scope.includes(parse_scope(part.value)) for part in choice.parts)
    assert len(offered_values(choices_of(scopes))) == 2 + 4 + 11


def test_every_type_can_be_chosen_instead_of_all() -> None:
    (scope,) = parse_scopes("patient/*.rs").resources
    (choice,) = choices_of(parse_scopes("patient/*.rs"))
    parts = [part.value for part in choice.parts]
    assert {"patient/Observation.rs", "patient/Condition.rs", "patient/Patient.rs"} <= set(parts)
    assert all(scope.includes(parse_scope(part)) for part in parts)


def test_who_is_asked_for_changes_can_allow_seeing_only() -> None:
    (choice,) = choices_of(parse_scopes("patient/Goal.cruds"))
    assert [(part.value, part.words) for part in choice.parts] == [
        ("patient/Goal.rs", "See and search goals of this patient, and change nothing")
    ]
    assert choices_of(parse_scopes("patient/Goal.cud"))[0].parts == ()


def test_how_long_is_said_in_a_sentence() -> None:
    spans = (timedelta(minutes=30), timedelta(hours=8), timedelta(days=100))
    assert "30 minutes" in duration_of(parse_scopes("openid"), *spans)
    assert "480 minutes" in duration_of(parse_scopes("online_access"), *spans)
    assert "100 days" in duration_of(parse_scopes("offline_access"), *spans)
