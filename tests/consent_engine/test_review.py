"""Step 3: what cannot be interpreted denies, and its writer is told why."""

from decimal import Decimal
from typing import Any

import pytest

from consent_engine import Config, compile_policy, review


def nest(levels: int) -> dict[str, Any]:
    provision: dict[str, Any] = {"type": "permit"}
    for _ in range(levels - 1):
        provision = {"type": "permit", "provision": [provision]}
    return provision


def permit(**more: Any) -> dict[str, Any]:
    return {"type": "permit", **more}


BAD_PROVISIONS: list[tuple[Any, str]] = [
    ({"type": "allow"}, "Consent.provision.type"),
    ({"type": None}, "Consent.provision.type"),
    ({"type": ["permit"]}, "Consent.provision.type"),
    ([], "Consent.provision"),
    ([{"type": "permit"}], "Consent.provision"),
    (None, "Consent.provision"),
    ({}, "Consent.provision"),
    ("permit", "Consent.provision"),
    (permit(provision=[{"action": []}]), "Consent.provision.provision[0].type"),
    (permit(provision={"type": "deny"}), "Consent.provision.provision"),
    (permit(provision=["deny"]), "Consent.provision.provision[0]"),
    (permit(actor=[]), "Consent.provision.actor"),
    (permit(actor={}), "Consent.provision.actor"),
    (permit(actor=[{"reference": {"reference": "X/1"}}]), "Consent.provision.actor[0]"),
    (permit(purpose=[{"code": "TREAT"}]), "Consent.provision.purpose[0]"),
    (permit(purpose=[{"display": "care"}]), "Consent.provision.purpose[0]"),
    (permit(purpose={"code": "TREAT"}), "Consent.provision.purpose"),
    (permit(action=[{"text": "read"}]), "Consent.provision.action[0]"),
    (permit(code=[{"text": "x"}]), "Consent.provision.code[0]"),
    (permit(period={"start": "2025", "end": "2024"}), "Consent.provision.period"),
    (permit(period={"start": "2024-02-30"}), "Consent.provision.period.start"),
    (permit(period={"end": "31.12.2024"}), "Consent.provision.period.end"),
    (permit(period={"end": 2030}), "Consent.provision.period.end"),
    (permit(period={}), "Consent.provision.period"),
    (permit(dataPeriod={"end": "x"}), "Consent.provision.dataPeriod.end"),
    (permit(data=[{"meaning": "all"}]), "Consent.provision.data[0]"),
    (permit(data=[{"reference": {"reference": "X/1"}}]), "Consent.provision.data[0]"),
    (permit(securityLabels=[{"code": "N"}]), "Consent.provision.securityLabels"),
    (permit(modifierExtension=[{"url": "x"}]), "Consent.modifierExtension"),
    (nest(9), "Consent.provision" + ".provision[0]" * 7),
]


@pytest.mark.parametrize(("provision", "path"), BAD_PROVISIONS)
def test_step_3_a_provision_that_cannot_be_read_denies(
    world: Any, provision: Any, path: str
) -> None:
    consent = world.consent({"type": "permit"}) | {"provision": provision}
    assert world.answer(consent, config=Config("permit")) == "deny by indeterminate"
    assert path in [each.path for each in review(consent)]


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"status": ...}, "Consent.status"),
        ({"status": "actve"}, "Consent.status"),
        ({"status": 1}, "Consent.status"),
        ({"patient": ...}, "Consent.patient"),
        ({"patient": "Patient/1"}, "Consent.patient"),
        ({"patient": {"display": "me"}}, "Consent.patient"),
        ({"patient": {"reference": 7}}, "Consent.patient.reference"),
        ({"scope": ...}, "Consent.scope"),
        ({"scope": {"text": "privacy"}}, "Consent.scope"),
        ({"scope": []}, "Consent.scope"),
        ({"dateTime": "yesterday"}, "Consent.dateTime"),
        ({"dateTime": Decimal(2024)}, "Consent.dateTime"),
        ({"verification": [{"verified": "true"}]}, "Consent.verification[0].verified"),
        ({"implicitRules": "http://example.org/rules"}, "Consent.implicitRules"),
        ({"extension": [{"url": "x", "modifierExtension": []}]}, "Consent.modifierExtension"),
        ({"policyRule": "OPTIN"}, "Consent.policyRule"),
        ({"resourceType": "Contract"}, "Consent.resourceType"),
        ({"decision": "permit"}, "Consent.decision"),
    ],
)
def test_step_3_a_consent_that_cannot_be_read_denies(
    world: Any, more: dict[str, Any], path: str
) -> None:
    consent = world.consent({"type": "permit"}, **more)
    assert world.answer(consent, config=Config("permit")) == "deny by indeterminate"
    assert path in [each.path for each in review(consent)]


def test_a_policy_rule_that_opts_in_and_out_cannot_be_interpreted(world: Any) -> None:
    both = {"coding": [world.coding("act", "OPTIN"), world.coding("act", "OPTOUT")]}
    assert world.answer(world.consent({"type": "permit"}, policyRule=both)) == (
        "deny by indeterminate"
    )


def test_a_role_that_contradicts_itself_cannot_be_interpreted(world: Any) -> None:
    actor = world.actor("Practitioner/1")
    actor["role"]["coding"].append(world.coding("participation", "CST"))
    assert world.answer(world.consent(permit(actor=[actor]))) == "deny by indeterminate"


@pytest.mark.parametrize("junk", [None, 1, "x", [], {}, [{}], {"resourceType": "Consent"}])
def test_what_is_no_consent_at_all_denies(world: Any, junk: Any) -> None:
    permits = world.consent({"type": "permit"})
    assert world.answer([permits, junk], config=Config("permit")) == "deny by indeterminate"
    assert review(junk)


def test_an_unreadable_consent_does_not_disappear(world: Any) -> None:
    """Defect of LEAP: an unreadable consent becomes no consent."""
    broken_deny = world.consent({"type": "deny", "purpose": "TREAT"})
    assert world.answer([world.consent({"type": "permit"}), broken_deny]) == "deny by indeterminate"


def test_nested_conditions_are_evaluated(world: Any) -> None:
    """Defect of SHARES: the conditions of nested provisions are not looked at."""
    nested = {"type": "deny", "actor": [world.actor("Practitioner/9")]}
    consent = world.consent(permit(provision=[nested]))
    assert world.answer(consent) == "permit by consent"
    assert world.answer(consent, actors=["Practitioner/9"]) == "deny by consent"


@pytest.mark.parametrize(
    "element", ["actor", "action", "dataPeriod", "data", "verification", "role"]
)
def test_no_element_of_the_root_is_ignored(world: Any, element: str) -> None:
    """Defects of LEAP: these elements of the root are not looked at."""
    consent = {
        "actor": world.consent(permit(actor=[world.actor("Practitioner/9")])),
        "action": world.consent(permit(action=world.actions("correct"))),
        "dataPeriod": world.consent(permit(dataPeriod={"start": "2020"})),
        "data": world.consent(permit(data=world.data("instance", "X/1"))),
        "verification": world.consent(permit(), verification=[{"verified": False}]),
        "role": world.consent(permit(actor=[world.actor("Practitioner/1", "CST")])),
    }[element]
    assert world.answer(consent) == "deny by default"


def test_a_thousand_nested_provisions_deny(world: Any) -> None:
    consent = world.consent(nest(1000))
    assert world.answer(consent) == "deny by indeterminate"
    assert world.answer(world.consent(nest(8))) == "permit by consent"


def test_a_broken_consent_that_was_revoked_harms_nobody(world: Any) -> None:
    revoked = world.consent({"type": "maybe"}, status="inactive")
    assert world.answer([revoked, world.consent({"type": "permit"})]) == "permit by consent"
    assert review(revoked)


def test_all_problems_are_told_at_once(world: Any) -> None:
    provision = {"type": "x", "period": {"end": "y"}, "purpose": []}
    paths = [each.path for each in review(world.consent(provision, status="z"))]
    assert paths == [
        "Consent.status",
        "Consent.provision.period.end",
        "Consent.provision.period",
        "Consent.provision.type",
        "Consent.provision.purpose",
    ]


def test_an_admin_policy_needs_no_patient_and_a_patients_consent_does(world: Any) -> None:
    policy = world.policy({"type": "permit"})
    assert review(policy, is_admin=True) == ()
    assert [each.path for each in review(policy)] == ["Consent.patient"]


def test_a_broken_admin_policy_denies(world: Any) -> None:
    config = Config("permit", admin_policies=(world.policy({"type": "maybe"}),))
    assert world.answer(world.consent({"type": "permit"}), config=config) == "deny by indeterminate"
    assert world.answer([], config=config, actors=["Patient/1"]) == "deny by indeterminate"


def test_compiling_does_not_change_the_consent(world: Any) -> None:
    import copy

    consent = world.consent(permit(purpose=world.purposes("TREAT")))
    before = copy.deepcopy(consent)
    compile_policy([consent], Config(), "Patient/1").narrow(world.request())
    assert consent == before


@pytest.mark.parametrize(
    "reference",
    ["Patient?name=a", "foo", "Patient/", "Patient/a_b", "#p", "urn:oid:1.2", "Group/1"],
)
def test_a_consent_of_whoever_is_no_patient_is_told_to_its_writer(
    world: Any, reference: str
) -> None:
    consent = world.consent({"type": "deny"}, patient={"reference": reference})
    assert [problem.path for problem in review(consent)] == ["Consent.patient.reference"]


@pytest.mark.parametrize("start", ["", "https://other.example/fhir/", "HTTP://x/"])
@pytest.mark.parametrize("end", ["", "/_history/3"])
def test_a_consent_of_a_patient_somewhere_is_one(world: Any, start: str, end: str) -> None:
    consent = world.consent({"type": "deny"}, patient={"reference": f"{start}Patient/1{end}"})
    assert review(consent) == ()
