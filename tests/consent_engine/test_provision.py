"""Step 5, and the ambiguities of consent.md, section 1, from 2.3 on, with the rules adopted."""

from typing import Any

import pytest

from consent_engine import Config


def test_2_3_values_are_alternatives_elements_add_up_siblings_are_alternatives(world: Any) -> None:
    provision = {
        "type": "permit",
        "purpose": world.purposes("HPAYMT", "TREAT"),
        "action": world.actions("use", "access"),
        "class": world.classes("Observation"),
        "provision": [
            {"type": "deny", "actor": [world.actor("Practitioner/8")]},
            {"type": "deny", "actor": [world.actor("Practitioner/9")]},
        ],
    }
    consent = world.consent(provision)
    assert world.answer(consent) == "permit by consent"
    assert world.answer(consent, world.record(type_="Media")) == "deny by default"
    assert world.answer(consent, action="collect") == "deny by default"
    for reader in ("Practitioner/8", "Practitioner/9"):
        assert world.answer(consent, actors=[reader]) == "deny by consent"


@pytest.mark.parametrize(
    ("type_", "label", "matching", "other"),
    [
        ("permit", "R", ["N", "R", "U", "M"], ["V"]),
        ("permit", "N", ["N", "L"], ["R", "V", "HIV"]),
        ("deny", "R", ["R", "V", "HIV"], ["N", "L"]),
        ("permit", "SUD", ["ETHUD", "OPIOIDUD", "SUD", "ETH"], ["SPI", "PSY", "N"]),
        ("permit", "ETH", ["ETHUD", "SUD", "ETH"], ["SPI", "PSY"]),
        ("deny", "SUD", ["ETHUD", "SUD", "SPI", "ETH"], ["PSY", "HIV", "N", "V"]),
        ("deny", "ETH", ["ETHUD", "SUD", "SPI"], ["PSY", "HIV"]),
        ("deny", "ETHUD", ["ETH", "SUD", "SPI"], ["OPIOIDUD", "HIV"]),
    ],
)
def test_step_6_labels_2_4_labels_permit_downward_and_deny_upward(
    world: Any, type_: str, label: str, matching: list[str], other: list[str]
) -> None:
    consent = world.consent({"type": type_, "securityLabel": world.labels(label)})
    for each in matching:
        assert world.answer(consent, world.record(each)) == f"{type_} by consent"
    for each in other:
        assert world.answer(consent, world.record(each)) == "deny by default"


def test_2_4_a_deny_of_restricted_leaves_the_normal_record_open(world: Any) -> None:
    """IHE PCF advanced-normal-not-restricted."""
    provision = {
        "type": "permit",
        "provision": [{"type": "deny", "securityLabel": world.labels("R")}],
    }
    consent = world.consent(provision)
    assert world.answer(consent, world.record("N")) == "permit by consent"
    assert world.answer(consent, world.record()) == "permit by consent"
    assert world.answer(consent, world.record("V")) == "deny by consent"


def test_2_5_a_permit_covers_every_sensitivity_label_a_deny_needs_one(world: Any) -> None:
    permit = world.consent({"type": "permit", "securityLabel": world.labels("PSY")})
    deny = world.consent({"type": "deny", "securityLabel": world.labels("PSY")}, "OPTIN")
    both = world.record("PSY", "HIV")
    assert world.answer(permit, world.record("PSY")) == "permit by consent"
    assert world.answer(permit, both) == "deny by default"
    assert world.answer(deny, both) == "deny by consent"


# Step 5, 2.6


def test_step_5a_2_6_a_rule_of_the_opposite_type_is_an_exception_inside_its_parent(
    world: Any,
) -> None:
    exception = {"type": "permit", "actor": [world.actor("Practitioner/1")]}
    provision = {
        "type": "deny",
        "class": world.classes("Observation"),
        "provision": [exception],
    }
    consent = world.consent(provision)
    assert world.answer(consent) == "permit by consent"
    assert world.answer(consent, actors=["Practitioner/2"]) == "deny by consent"
    assert world.answer(consent, world.record(type_="Media")) == "deny by default"


def test_step_5b_2_6_the_same_type_with_an_element_of_the_parent_is_a_rule_of_its_own(
    world: Any,
) -> None:
    wider = {"type": "permit", "purpose": world.purposes("HRESCH")}
    provision = {
        "type": "permit",
        "purpose": world.purposes("TREAT"),
        "class": world.classes("Observation"),
        "provision": [wider],
    }
    consent = world.consent(provision)
    assert world.answer(consent) == "permit by consent"
    assert world.answer(consent, purpose="HRESCH") == "permit by consent"
    media = world.record(type_="Media")  # the class of the parent is inherited
    assert world.answer(consent, media, purpose="HRESCH") == "deny by default"


def test_step_5a_2_6_the_same_type_that_only_adds_elements_narrows(world: Any) -> None:
    narrower = [
        {"type": "permit", "class": world.classes("Observation")},
        {"type": "permit", "class": world.classes("Media")},
    ]
    consent = world.consent({"type": "permit", "provision": narrower})
    assert world.answer(consent) == "permit by consent"
    assert world.answer(consent, world.record(type_="Media")) == "permit by consent"
    assert world.answer(consent, world.record(type_="Binary")) == "deny by default"


def test_step_5c_a_deny_of_the_rule_or_of_an_additional_one_is_a_deny(world: Any) -> None:
    deny = {"type": "deny", "actor": [world.actor("Practitioner/1")]}
    additional = {"type": "permit", "purpose": world.purposes("TREAT"), "provision": [deny]}
    provision = {
        "type": "permit",
        "purpose": world.purposes("TREAT", "HPAYMT"),
        "provision": [additional],
    }
    consent = world.consent(provision)
    assert world.answer(consent) == "deny by consent"
    assert world.answer(consent, purpose="HPAYMT") == "permit by consent"
    assert world.answer(consent, purpose="HRESCH") == "deny by default"


def test_2_6_a_narrowing_that_is_out_of_its_period_still_narrows(world: Any) -> None:
    narrower = {
        "type": "permit",
        "class": world.classes("Observation"),
        "period": {"end": "2023-12-31"},
    }
    consent = world.consent({"type": "permit", "provision": [narrower]})
    assert world.answer(consent) == "deny by default"


def test_step_5a_2_6_exceptions_alternate(world: Any) -> None:
    innermost = {"type": "deny", "class": world.classes("Media")}
    inner = {"type": "permit", "actor": [world.actor("Practitioner/1")], "provision": [innermost]}
    consent = world.consent({"type": "deny", "provision": [inner]})
    assert world.answer(consent) == "permit by consent"
    assert world.answer(consent, world.record(type_="Media")) == "deny by consent"


def test_2_6_a_deny_inside_a_permit_of_restricted_records_hides_the_normal_ones_too(
    world: Any,
) -> None:
    exception = {"type": "deny", "actor": [world.actor("Practitioner/1")]}
    provision = {
        "type": "permit",
        "securityLabel": world.labels("R"),
        "provision": [exception],
    }
    consent = world.consent(provision)
    assert world.answer(consent, world.record("N")) == "deny by consent"
    assert world.answer(consent, world.record("N"), actors=["X/2"]) == "permit by consent"


def test_2_6_a_permit_inside_a_deny_keeps_what_the_deny_restricts(world: Any) -> None:
    exception = {"type": "permit", "actor": [world.actor("Practitioner/1")]}
    provision = {"type": "deny", "purpose": world.purposes("TREAT"), "provision": [exception]}
    consent = world.consent(provision)
    assert world.answer(consent) == "permit by consent"
    assert world.answer(consent, purpose=None) == "deny by consent"


def test_2_7_the_deepest_matching_exception_wins_inside_deny_wins_between(world: Any) -> None:
    exception = {"type": "permit", "purpose": world.purposes("TREAT")}
    consent = world.consent({"type": "deny", "provision": [exception]})
    newer = world.consent({"type": "permit"}, id_="newer", dateTime="2024-05-31")
    assert world.answer(consent) == "permit by consent"
    assert world.answer([consent, newer], purpose="HPAYMT") == "deny by consent"


def test_2_8_an_end_day_lasts_until_midnight_in_the_zone_of_the_deployment(world: Any) -> None:
    from zoneinfo import ZoneInfo

    consent = world.consent({"type": "permit", "period": {"end": "2024-06-01"}})
    vienna = Config(zone=ZoneInfo("Europe/Vienna"))
    assert world.answer(consent, time="2024-06-01T23:59:59Z") == "permit by consent"
    assert world.answer(consent, time="2024-06-01T21:59:59Z", config=vienna) == "permit by consent"
    assert world.answer(consent, time="2024-06-01T22:00:00Z", config=vienna) == "deny by default"


@pytest.mark.parametrize(
    ("dates", "permit", "deny"),
    [
        ({"effectiveDateTime": "2020-06-01"}, True, True),
        ({"effectiveDateTime": "2020"}, True, True),
        ({"effectivePeriod": {"start": "2019-12-31", "end": "2020-01-01"}}, False, True),
        ({"effectivePeriod": {"start": "2020-03-01"}}, False, True),
        ({"effectiveDateTime": "2021-01-01"}, False, False),
        ({"effectiveDateTime": "2019", "issued": "2020-02-02T00:00:00Z"}, False, False),
        ({"issued": "2020-12-31T23:59:59Z"}, True, True),
        ({}, False, True),
        ({"onsetString": "in youth", "recordedDate": "2020-02-02"}, False, True),
        ({"effectiveDateTime": "sometime"}, False, True),
        ({"effectivePeriod": {"start": "2020-05-01", "end": "2020-04-01"}}, False, True),
        ({"effectivePeriod": "2020"}, False, True),
    ],
)
def test_step_6_data_period_2_8_a_permit_needs_the_data_inside_its_period_a_deny_any_overlap(
    world: Any, dates: dict[str, Any], permit: bool, deny: bool
) -> None:
    year = {"start": "2020", "end": "2020"}
    record = world.record(**dates)
    answer = world.answer(world.consent({"type": "permit", "dataPeriod": year}), record)
    assert answer == ("permit by consent" if permit else "deny by default")
    answer = world.answer(world.consent({"type": "deny", "dataPeriod": year}, "OPTIN"), record)
    assert answer == ("deny by consent" if deny else "permit by consent")


def test_2_9_the_period_of_the_rule_and_that_of_the_data_are_kept_apart(world: Any) -> None:
    old = world.record(effectiveDateTime="2010-01-01")
    rule = world.consent({"type": "permit", "period": {"start": "2024"}})
    about = world.consent({"type": "permit", "dataPeriod": {"start": "2024"}})
    assert world.answer(rule, old) == "permit by consent"
    assert world.answer(about, old) == "deny by default"


def test_2_10_a_missing_element_restricts_nothing(world: Any) -> None:
    consent = world.consent({"type": "permit"})
    nobody = {"actors": [], "purpose": None, "action": None, "custodian": None}
    assert world.answer(consent, {}, **nobody) == "permit by consent"


@pytest.mark.parametrize(
    ("element", "unknown"),
    [("purpose", {"purpose": None}), ("action", {"action": None}), ("actor", {"custodian": None})],
)
def test_step_6_unknown_2_11_what_the_request_does_not_say_matches_a_deny_and_no_permit(
    world: Any, element: str, unknown: dict[str, Any]
) -> None:
    selectors: dict[str, Any] = {
        "purpose": world.purposes("TREAT"),
        "action": world.actions("access"),
        "actor": [world.actor("Organization/1", "CST")],
    }
    for type_, rule, known, otherwise in (
        ("permit", None, "permit by consent", "deny by default"),
        ("deny", "OPTIN", "deny by consent", "deny by consent"),
    ):
        consent = world.consent({"type": type_, element: selectors[element]}, rule)
        assert world.answer(consent) == known
        assert world.answer(consent, **unknown) == otherwise


@pytest.mark.parametrize(
    ("listed", "asked", "expected"),
    [
        ("TREAT", "ETREAT", True),
        ("TREAT", "BTG", True),
        ("ETREAT", "TREAT", False),
        ("HPAYMT", "ELIGVER", True),
        ("COVERAGE", "ELIGVER", True),
        ("HRESCH", "CLINTRCHPC", True),
        ("TREAT", "HRESCH", False),
        ("NEWCODE", "NEWCODE", True),
    ],
)
def test_step_6_purpose_2_12_a_purpose_covers_its_descendants(
    world: Any, listed: str, asked: str, expected: bool
) -> None:
    consent = world.consent({"type": "permit", "purpose": world.purposes(listed)})
    answer = world.answer(consent, purpose=asked)
    assert answer == ("permit by consent" if expected else "deny by default")


@pytest.mark.parametrize(
    ("meaning", "itself", "incoming", "outgoing"),
    [
        ("instance", True, False, False),
        ("related", True, True, True),
        ("dependents", True, True, False),
    ],
)
def test_step_6_data_2_13_related_works_in_both_directions(
    world: Any, meaning: str, itself: bool, incoming: bool, outgoing: bool
) -> None:
    consent = world.consent({"type": "deny", "data": world.data(meaning, "Encounter/1")}, "OPTIN")
    graph = {"Encounter/1": ("Observation/referred",)}
    for record, hidden in (
        ({"resourceType": "Encounter", "id": "1"}, itself),
        (world.record(encounter={"reference": "Encounter/1"}), incoming),
        ({"resourceType": "Observation", "id": "referred"}, outgoing),
        (world.record(), False),
    ):
        expected = "deny by consent" if hidden else "permit by consent"
        assert world.answer(consent, record, graph=graph) == expected


def test_step_6_actor_2_14_the_role_groups_of_actors_add_up(world: Any) -> None:
    actors = [
        world.actor("Organization/1", "CST"),
        world.actor("Practitioner/5", "AUT"),
        world.actor("Practitioner/1", "PRCP"),
    ]
    consent = world.consent({"type": "permit", "actor": actors})
    record = world.record(performer=[{"reference": "Practitioner/5"}])
    assert world.answer(consent, record) == "permit by consent"
    assert world.answer(consent, world.record()) == "deny by default"
    assert world.answer(consent, record, actors=["Practitioner/5"]) == "deny by default"
    assert world.answer(consent, record, custodian="Organization/2") == "deny by default"


def test_step_9_2_15_see_step_9_all_patients_of_a_record_have_to_permit(world: Any) -> None:
    answer = world.answer(world.consent({"type": "permit"}), subjects=["Patient/1", "Patient/2"])
    assert answer == "deny by default"


# 2.16 is Step 3: test_review.py


def test_2_17_a_consent_that_failed_verification_cannot_grant_but_can_deny(world: Any) -> None:
    failed = {"verification": [{"verified": True}, {"verified": False}]}
    verified = {"verification": [{"verified": True}]}
    permit, deny = {"type": "permit"}, {"type": "deny"}
    assert world.answer(world.consent(permit, **verified)) == "permit by consent"
    assert world.answer(world.consent(permit, **failed)) == "deny by default"
    assert world.answer(world.consent(rule="OPTIN", **failed)) == "deny by default"
    assert world.answer(world.consent(deny, "OPTIN", **failed)) == "deny by consent"
    other = {"purpose": "TREAT", "actors": ["X/1"]}
    consent = world.consent({"actor": [world.actor("Practitioner/1")]}, "OPTIN", **failed)
    assert world.answer(consent, **other) == "deny by default"
    assert world.answer(world.consent(permit, verification=[{"id": "x"}])) == "deny by default"
