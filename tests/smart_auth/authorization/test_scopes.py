"""Scopes: the grammar of versions 1 and 2, what they cover, and narrowing that never widens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_auth.authorization.scopes import LETTERS, ScopeSet, narrow, parse_scope, parse_scopes
from smart_auth.errors import ScopeParseError

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"

levels = st.sampled_from(["patient", "user", "system"])
types = st.sampled_from(["*", "Patient", "Observation", "Condition"])
letters = st.sets(st.sampled_from(LETTERS), min_size=1).map(
    lambda chosen: "".join(letter for letter in LETTERS if letter in chosen)
)
v1 = st.sampled_from(["read", "write", "*"])
queries = st.lists(
    st.sampled_from(["category=laboratory", "status=final", f"category={CATEGORY}"]), max_size=2
).map("&".join)
scope_texts = st.builds(
    lambda level, type_, access, query: (
        f"{level}/{type_}.{access}" + (f"?{query}" if query else "")
    ),
    levels,
    types,
    letters,
    queries,
) | st.builds(lambda level, type_, access: f"{level}/{type_}.{access}", levels, types, v1)
sets = st.lists(scope_texts, max_size=6).map(" ".join).map(parse_scopes)


def test_the_empty_set_covers_nothing() -> None:
    for letter in LETTERS:
        assert ScopeSet().covers("Patient", letter) == ()
    assert not parse_scopes("")


@pytest.mark.parametrize(
    "text",
    [
        "patient/Observation.sr",
        "patient/Observation.rr",
        "patient/Observation.",
        "patient/Observation",
        "patient/Observation.Read",
        "patient/observation.read",
        "patient/.read",
        "patient/*",
        "patient/*.x",
        "patient/**.rs",
        "user/Patient.rs?",
        "user/Patient.rs?category",
        "user/Patient.rs?=laboratory",
        "user/Patient.rs?category=",
        "user/Patient.rs?category=a&",
        "user/Patient.rs?ca tegory=a",
        'user/Patient.rs?category="a"',
        "user/Patient.rs?category=a\\b",
        "user/Patient.rs?category=ä",
        "user/Patient.read?category=a",
        "user/Patient.rs\n",
        "system/Patient.rs\x00",
        "Patient/Patient.rs",
        "patient/Patient/1.rs",
    ],
)
def test_a_malformed_scope_is_refused(text: str) -> None:
    with pytest.raises(ScopeParseError):
        parse_scope(text)


def test_more_than_500_scopes_are_refused() -> None:
    with pytest.raises(ScopeParseError):
        parse_scopes(" ".join(f"user/Patient.rs?name={number}" for number in range(501)))


def test_one_malformed_scope_spoils_the_set() -> None:
    with pytest.raises(ScopeParseError):
        parse_scopes("openid patient/Patient.rs patient/Patient.sr")


def test_unknown_words_are_left_out() -> None:
    assert str(parse_scopes("openid telepathy launch/patient")) == "openid launch/patient"


@pytest.mark.parametrize(
    ("text", "covered"),
    [("patient/*.read", "rs"), ("patient/*.write", "cud"), ("patient/*.*", "cruds")],
)
def test_version_1_means_these_letters(text: str, covered: str) -> None:
    scopes = parse_scopes(text)
    assert "".join(each for each in LETTERS if scopes.covers("Observation", each)) == covered


def test_a_granular_scope_tells_its_level_and_decoded_parameters() -> None:
    (scope,) = parse_scopes("patient/Observation.rs?category=a%7Cb&status=final").covers(
        "Observation", "r"
    )
    assert scope.level == "patient"
    assert scope.parameters == (("category", "a|b"), ("status", "final"))


def test_another_type_or_letter_is_not_covered() -> None:
    scopes = parse_scopes("user/Observation.rs")
    assert not scopes.covers("Condition", "r")
    assert not scopes.covers("Observation", "u")


@given(scope_texts)
def test_a_scope_is_printed_as_it_was_written(text: str) -> None:
    assert parse_scope(text).text == text
    assert str(parse_scopes(text)) == text


@given(sets)
def test_printing_and_reading_gives_the_same_set(scopes: ScopeSet) -> None:
    assert parse_scopes(str(scopes)) == scopes


@given(sets, sets)
def test_narrowing_never_widens(asked: ScopeSet, most: ScopeSet) -> None:
    for scope in narrow(asked, most).resources:
        assert any(wider.includes(scope) for wider in asked.resources)
        assert any(wider.includes(scope) for wider in most.resources)


@given(sets, sets)
def test_narrowing_keeps_what_both_permit(asked: ScopeSet, most: ScopeSet) -> None:
    narrowed = narrow(asked, most)
    for type_ in ("Patient", "Observation", "Condition"):
        for letter in LETTERS:
            left = {scope.level for scope in asked.covers(type_, letter)}
            right = {scope.level for scope in most.covers(type_, letter)}
            assert {scope.level for scope in narrowed.covers(type_, letter)} == left & right


@given(sets)
def test_narrowing_by_itself_keeps_the_permissions(scopes: ScopeSet) -> None:
    kept = narrow(scopes, scopes)
    assert all(any(k.includes(s) for k in kept.resources) for s in scopes.resources)


def test_narrowing_cuts_a_wildcard_to_the_registered_types() -> None:
    narrowed = narrow(parse_scopes("patient/*.read"), parse_scopes("patient/Patient.r"))
    assert str(narrowed) == "patient/Patient.r"


def test_narrowing_joins_parameters_of_both_sides() -> None:
    narrowed = narrow(
        parse_scopes("user/Observation.rs?status=final"),
        parse_scopes("user/*.r?category=laboratory"),
    )
    assert str(narrowed) == "user/Observation.r?status=final&category=laboratory"


def test_narrowing_does_not_cross_levels() -> None:
    assert not narrow(parse_scopes("patient/Patient.rs"), parse_scopes("user/*.cruds"))
