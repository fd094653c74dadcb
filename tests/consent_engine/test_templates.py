"""The policy templates: what holds when nobody has consented to anything."""

from typing import Any

import pytest

from consent_engine import (
    PATIENT_TEMPLATES,
    TEMPLATES,
    Config,
    UnknownTemplateError,
    is_mandatory,
    load_template,
    patient_template,
    review,
)


def of(name: str) -> Config:
    return Config(admin_policies=load_template(name, "Organization/1"))


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_has_no_problem_and_no_placeholder_left(name: str) -> None:
    policies = load_template(name, "Organization/1")
    assert policies
    assert [review(each, is_admin=True) for each in policies] == [()] * len(policies)
    assert "Organization/custodian" not in str(policies)


def test_an_unknown_template_is_refused() -> None:
    for name in ("", "../hipaa-tpo", "HIPAA-TPO"):
        with pytest.raises(UnknownTemplateError):
            load_template(name, "Organization/1")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "permit by admin"),
        ({"purpose": "HPAYMT", "action": "disclose"}, "permit by admin"),
        ({"purpose": "HOPERAT", "action": None}, "permit by admin"),
        ({"subjects": []}, "permit by admin"),
        ({"purpose": "HRESCH"}, "deny by default"),
        ({"purpose": None}, "deny by default"),
        ({"actors": ["Practitioner/1"]}, "deny by default"),
        ({"actors": ["Organization/2"]}, "deny by default"),
        ({"custodian": "Organization/2"}, "deny by default"),
        ({"custodian": None}, "deny by default"),
        ({"actors": ["Patient/1"], "purpose": None}, "permit by self"),
    ],
)
def test_hipaa_tpo_is_for_the_custodians_own_people_and_purposes(
    world: Any, given: dict[str, Any], expected: str
) -> None:
    assert world.answer([], config=of("hipaa-tpo"), **given) == expected


def test_hipaa_tpo_gives_way_to_the_patients_no(world: Any) -> None:
    assert world.answer(world.consent(rule="OPTOUT"), config=of("hipaa-tpo")) == "deny by consent"


def test_opt_in_permits_nobody_but_the_subject_until_a_consent_does(world: Any) -> None:
    config = of("opt-in")
    assert world.answer([], config=config) == "deny by base"
    assert world.answer([], config=config, actors=[]) == "deny by base"
    assert world.answer([], config=config, actors=["Patient/1"]) == "permit by self"
    assert world.answer(world.consent({"type": "permit"}), config=config) == "permit by consent"


def test_opt_out_permits_treatment_until_the_patient_says_no(world: Any) -> None:
    config = of("opt-out")
    assert world.answer([], config=config, actors=["Practitioner/9"]) == "permit by admin"
    assert world.answer([], config=config, purpose="HPAYMT") == "deny by default"
    assert world.answer(world.consent(rule="OPTOUT"), config=config) == "deny by consent"


def both(*names: str) -> Config:
    found = [each for name in names for each in load_template(name, "Organization/1")]
    return Config(admin_policies=tuple(found))


def test_part_2_keeps_substance_use_records_out_of_court(world: Any) -> None:
    config = both("hipaa-tpo", "part2")
    substance = world.record("ETH")
    assert world.answer([], config=config, purpose="HLEGAL") == "permit by admin"
    assert world.answer([], substance, config=config, purpose="HLEGAL") == "deny by admin"
    assert world.answer([], substance, config=config) == "permit by admin"
    told = world.decide([], substance, config=config).obligations
    assert "notice:42-CFR-2.32" in told


def test_research_is_for_the_custodians_own_people(world: Any) -> None:
    config = both("hipaa-tpo", "research")
    assert world.answer([], config=config, purpose="HRESCH") == "permit by admin"
    assert world.answer([], config=config, purpose="CLINTRCH") == "permit by admin"
    assert world.answer([], config=config, purpose="HRESCH", action="disclose") == "deny by default"
    others = {"actors": ["Organization/2"], "purpose": "HRESCH"}
    assert world.answer([], config=config, **others) == "deny by default"
    no = patient_template("ehds-secondary-opt-out", patient="Patient/1")
    assert world.answer(no, config=config, purpose="HRESCH") == "deny by consent"
    assert world.answer(no, config=config) == "permit by admin"


def filled(name: str) -> Any:
    references = {"custodian": "Organization/1", "recipient": "Organization/2"}
    return patient_template(name, patient="Patient/1", encounter="Encounter/5", **references)


@pytest.mark.parametrize("name", PATIENT_TEMPLATES)
def test_a_template_for_patients_has_no_problem_and_no_placeholder_left(name: str) -> None:
    made = filled(name)
    assert review(made) == ()
    assert made["patient"] == {"reference": "Patient/1"}
    for left in ("Patient/patient", "/custodian", "/recipient", "Encounter/encounter"):
        assert left not in str(made)


def test_a_template_for_patients_needs_what_it_names() -> None:
    for name in ("hipaa-self-pay", "hipaa-tpo", "", "../opt-in"):
        with pytest.raises(UnknownTemplateError):
            patient_template(name, patient="Patient/1", recipient="Organization/2")


OTHER = {"actors": ["Organization/2"], "custodian": "Organization/1"}


def test_self_pay_hides_an_encounter_from_the_health_plan_for_payment(world: Any) -> None:
    config = both("opt-out")
    rule = filled("hipaa-self-pay")
    about = world.record(encounter={"reference": "Encounter/5"})
    graph = {"Encounter/5": ["Patient/1"]}
    payer = {**OTHER, "config": config, "graph": graph}
    yes = {"type": "permit"}
    consents = [rule, world.consent(yes, id_="2")]
    assert world.answer(consents, about, **payer, purpose="HPAYMT") == "deny by consent"
    assert world.answer(consents, about, **payer) == "permit by consent"
    other = world.record(encounter={"reference": "Encounter/6"})
    assert world.answer(consents, other, **payer, purpose="HPAYMT") == "permit by consent"


def test_the_primary_use_opt_out_leaves_only_the_custodian(world: Any) -> None:
    rule, config = filled("ehds-primary-opt-out"), both("opt-out")
    assert world.answer(rule, config=config, **OTHER) == "deny by consent"
    assert world.answer(rule, config=config) == "permit by consent"
    assert world.answer(rule, config=config, purpose="HPAYMT") == "deny by default"


def test_the_single_consent_of_part_2_lets_substance_use_records_be_shared(world: Any) -> None:
    rule, substance = filled("part2-consent"), world.record("SUD")
    assert world.answer(rule, substance, **OTHER) == "permit by consent"
    assert world.answer(rule, substance, **OTHER, purpose="HRESCH") == "deny by default"
    assert "notice:42-CFR-2.32" in world.decide(rule, substance, **OTHER).obligations


def test_a_mandatory_policy_says_so() -> None:
    url = "https://consentry.example/StructureDefinition/mandatory-policy"
    assert is_mandatory({"extension": [{"url": url, "valueBoolean": True}]})
    for value in ({}, {"extension": 1}, {"extension": [{"url": url, "valueBoolean": "true"}]}):
        assert not is_mandatory(value)
