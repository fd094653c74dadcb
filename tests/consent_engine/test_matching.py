"""Step 6: single elements against requests and records, mostly those that must not match."""

from typing import Any

import pytest

from consent_engine import Coding

NPI = ("http://hl7.org/fhir/sid/us-npi", "1234567893")


def by_identifier(world: Any, role: str = "IRCP") -> dict[str, Any]:
    reference = {"identifier": {"system": NPI[0], "value": NPI[1]}}
    return {"role": world.concept("participation", role), "reference": reference}


def test_step_6_actor_a_recipient_matches_by_reference_without_its_version(world: Any) -> None:
    consent = world.consent({"type": "permit", "actor": [world.actor("Practitioner/1/_history/2")]})
    assert world.answer(consent, actors=["Practitioner/1/_history/9"]) == "permit by consent"
    for reader in ("Practitioner/11", "practitioner/1", "https://x.example/Practitioner/1"):
        assert world.answer(consent, actors=[reader]) == "deny by default"


def test_step_6_actor_a_recipient_matches_by_identifier_of_the_same_system(world: Any) -> None:
    consent = world.consent({"type": "permit", "actor": [by_identifier(world)]})
    assert world.answer(consent, identifiers=[NPI]) == "permit by consent"
    assert world.answer(consent, identifiers=[("other", NPI[1])]) == "deny by default"


def test_step_6_actor_a_custodian_matches_by_identifier_too(world: Any) -> None:
    consent = world.consent({"type": "permit", "actor": [by_identifier(world, "CST")]})
    assert world.answer(consent, custodian_identifiers=[NPI]) == "permit by consent"
    assert world.answer(consent, identifiers=[NPI]) == "deny by default"


def test_step_6_actor_an_actor_with_only_a_display_permits_nobody_and_denies_everybody(
    world: Any,
) -> None:
    for role in ("IRCP", "CST", "AUT"):
        actor = {
            "role": world.concept("participation", role),
            "reference": {"display": "my doctor"},
        }
        author = world.record(performer=[{"reference": "Practitioner/5"}])
        permit = world.consent({"type": "permit", "actor": [actor]})
        deny = world.consent({"type": "deny", "actor": [actor]}, "OPTIN")
        assert world.answer(permit, author) == "deny by default"
        assert world.answer(deny, author) == "deny by consent"


def test_step_6_actor_a_contained_actor_counts_by_its_identifier(world: Any) -> None:
    contained = [
        {
            "resourceType": "Practitioner",
            "id": "p",
            "identifier": [{"system": NPI[0], "value": NPI[1]}],
        }
    ]
    provision = {"type": "permit", "actor": [world.actor("#p")]}
    consent = world.consent(provision, contained=contained)
    assert world.answer(consent, identifiers=[NPI]) == "permit by consent"
    assert world.answer(consent, actors=["#p"]) == "deny by default"
    assert world.answer(world.consent(provision), identifiers=[NPI]) == "deny by indeterminate"


def test_step_6_unknown_a_deny_to_somebody_holds_for_a_requester_nobody_knows(world: Any) -> None:
    consent = world.consent({"type": "deny", "actor": [world.actor("Practitioner/9")]}, "OPTIN")
    assert world.answer(consent, actors=[]) == "deny by consent"
    assert world.answer(consent, actors=["Practitioner/1"]) == "permit by consent"


def test_step_6_purpose_a_purpose_of_another_system_is_another_purpose(world: Any) -> None:
    consent = world.consent({"type": "permit", "purpose": world.purposes("TREAT")})
    assert world.answer(consent, purpose=Coding("http://example.org", "TREAT")) == "deny by default"


def test_step_6_action_an_action_is_compared_exactly(world: Any) -> None:
    consent = world.consent({"type": "permit", "action": world.actions("use")})
    assert world.answer(consent, action="access") == "deny by default"
    other = {"coding": [{"system": "http://example.org", "code": "access"}]}
    foreign = world.consent({"type": "permit", "action": [other]})
    assert world.answer(foreign) == "deny by default"


@pytest.mark.parametrize(
    ("coding", "expected"),
    [
        (("type", "DocumentReference"), True),
        (("type", "Observation"), False),
        (("urn:ietf:rfc:3986", "http://example.org/profile"), True),
        (("urn:ietf:rfc:3986", "http://example.org/profile|2"), True),
        (("urn:ietf:rfc:3986", "http://example.org/profile|1"), False),
        (("urn:ietf:bcp:13", "application/PDF"), True),
        (("urn:ietf:bcp:13", "text/plain"), False),
    ],
)
def test_step_6_class_a_class_is_a_type_a_profile_or_a_content_type(
    world: Any, coding: tuple[str, str], expected: bool
) -> None:
    record = {
        "resourceType": "DocumentReference",
        "meta": {"profile": ["http://example.org/profile|2"]},
        "content": [{"attachment": {"contentType": "application/pdf; charset=utf-8"}}],
    }
    consent = world.consent({"type": "permit", "class": [world.coding(*coding)]})
    answer = world.answer(consent, record)
    assert answer == ("permit by consent" if expected else "deny by default")


def test_step_6_class_a_class_of_an_unknown_system_matches_a_deny_and_no_permit(world: Any) -> None:
    classes = [world.coding("http://example.org/formats", "x")]
    deny = world.consent({"type": "deny", "class": classes}, "OPTIN")
    assert world.answer(world.consent({"type": "permit", "class": classes})) == "deny by default"
    assert world.answer(deny) == "deny by consent"


def test_step_6_code_a_code_matches_any_coding_anywhere_in_the_record(world: Any) -> None:
    consent = world.consent({"type": "deny", "code": [world.concept("loinc", "1-1")]}, "OPTIN")
    part = {"code": {"coding": [{"system": "x", "code": "y"}, world.coding("loinc", "1-1")]}}
    assert world.answer(consent, world.record(component=[part])) == "deny by consent"
    other = {"code": {"coding": [{"system": "http://other.example", "code": "1-1"}]}}
    assert world.answer(consent, world.record(component=[other])) == "permit by consent"


@pytest.mark.parametrize(
    "author",
    [
        {"performer": [{"reference": "Practitioner/5"}]},
        {"performer": [{"actor": {"reference": "Practitioner/5/_history/1"}}]},
        {"participant": [{"individual": {"reference": "Practitioner/5"}}]},
        {"recorder": {"reference": "Practitioner/5"}},
        {"author": [{"reference": "Organization/1"}, {"reference": "Practitioner/5"}]},
    ],
)
def test_step_6_data_an_author_is_found_where_the_type_has_it(
    world: Any, author: dict[str, Any]
) -> None:
    data = world.data("authoredby", "Practitioner/5")
    record = world.record(**author)
    permit = world.consent({"type": "permit", "data": data})
    aut = world.consent({"type": "permit", "actor": [world.actor("Practitioner/5", "AUT")]})
    assert world.answer(permit, record) == "permit by consent"
    assert world.answer(aut, record) == "permit by consent"


@pytest.mark.parametrize(
    "author", [{}, {"author": [{"display": "Dr. X"}]}, {"author": "x"}, {"author": [None]}]
)
def test_step_6_data_an_unknown_author_matches_a_deny_and_no_permit(
    world: Any, author: dict[str, Any]
) -> None:
    data = world.data("authoredby", "Practitioner/5")
    record = world.record(**author)
    deny = world.consent({"type": "deny", "data": data}, "OPTIN")
    assert (
        world.answer(world.consent({"type": "permit", "data": data}), record) == "deny by default"
    )
    assert world.answer(deny, record) == "deny by consent"


def test_step_6_data_a_record_without_id_may_be_the_one_that_is_denied(world: Any) -> None:
    data = world.data("instance", "Observation/r")
    record = {"resourceType": "Observation"}
    deny = world.consent({"type": "deny", "data": data}, "OPTIN")
    assert (
        world.answer(world.consent({"type": "permit", "data": data}), record) == "deny by default"
    )
    assert world.answer(deny, record) == "deny by consent"


@pytest.mark.parametrize(
    "security", ["N", {}, [None], [{"code": "N"}], [{"system": "x"}], [{"system": 1, "code": 2}]]
)
def test_step_6_labels_labels_that_cannot_be_read_match_every_deny_and_no_permit(
    world: Any, security: Any
) -> None:
    record = {**world.record(), "meta": {"security": security}}
    for label in ("N", "V", "HIV"):
        listed = world.labels(label)
        permit = world.consent({"type": "permit", "securityLabel": listed})
        deny = world.consent({"type": "deny", "securityLabel": listed}, "OPTIN")
        assert world.answer(permit, record) == "deny by default"
        assert world.answer(deny, record) == "deny by consent"


def test_step_6_labels_an_unknown_confidentiality_of_a_record_is_the_highest(world: Any) -> None:
    security = [world.coding("confidentiality", "X")]
    record = {**world.record(), "meta": {"security": security}}
    permit = world.consent({"type": "permit", "securityLabel": world.labels("R")})
    assert world.answer(permit, record) == "deny by default"


def test_step_6_labels_a_sensitivity_label_newer_than_r4_is_not_overlooked(world: Any) -> None:
    permit = world.consent({"type": "permit", "securityLabel": world.labels("N")})
    assert world.answer(permit, world.record("NEWSENS")) == "deny by default"
    assert world.answer(permit, world.record("NORDSCLCD")) == "permit by consent"


def test_step_6_labels_confidentiality_and_sensitivity_of_a_permit_both_have_to_fit(
    world: Any,
) -> None:
    permit = world.consent({"type": "permit", "securityLabel": world.labels("R", "PSY")})
    assert world.answer(permit, world.record("R", "PSY")) == "permit by consent"
    assert world.answer(permit, world.record("N")) == "permit by consent"
    assert world.answer(permit, world.record("R", "HIV")) == "deny by default"
    assert world.answer(permit, world.record("V", "PSY")) == "deny by default"
