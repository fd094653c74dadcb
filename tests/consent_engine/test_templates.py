"""The policy templates: what holds when nobody has consented to anything."""

from typing import Any

import pytest

from consent_engine import TEMPLATES, Config, UnknownTemplateError, load_template, review


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
