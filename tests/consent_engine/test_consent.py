"""Step 4: what the root provision and the policyRule mean together (2.1, 2.2)."""

from typing import Any

import pytest

from consent_engine import Config


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("OPTIN", "permit by consent"),
        ("OPTINR", "permit by consent"),
        ("OPTOUT", "deny by consent"),
        ("OPTOUTE", "deny by consent"),
        ("NOPP", "deny by indeterminate"),
        (None, "deny by indeterminate"),
    ],
)
def test_step_4_without_provision_the_policy_rule_decides(
    world: Any, rule: str | None, expected: str
) -> None:
    assert world.answer(world.consent(rule=rule), config=Config("permit")) == expected


@pytest.mark.parametrize(
    ("type_", "rule", "matching", "other"),
    [
        ("permit", None, "permit by consent", "permit by default"),
        ("permit", "OPTIN", "permit by consent", "permit by default"),
        ("permit", "OPTOUT", "permit by consent", "deny by base"),
        ("deny", None, "deny by consent", "permit by default"),
        ("deny", "OPTIN", "deny by consent", "permit by consent"),
        ("deny", "OPTOUT", "deny by consent", "deny by base"),
    ],
)
def test_2_1_a_typed_root_is_accepted_with_and_without_policy_rule(
    world: Any, type_: str, rule: str | None, matching: str, other: str
) -> None:
    provision = {"type": type_, "actor": [world.actor("Practitioner/1")]}
    consent, permit = world.consent(provision, rule), Config("permit")
    assert world.answer(consent, config=permit) == matching
    assert world.answer(consent, config=permit, actors=["Practitioner/2"]) == other


def test_2_1_an_opt_in_never_widens_a_typed_permit(world: Any) -> None:
    consent = world.consent({"type": "permit", "purpose": world.purposes("HPAYMT")}, "OPTIN")
    assert world.answer(consent) == "deny by default"


def test_2_2_an_untyped_root_without_selectors_is_a_frame_of_the_base(world: Any) -> None:
    frame = {"period": {"start": "2024-01-01", "end": "2024-12-31"}}
    assert world.answer(world.consent(frame, "OPTIN")) == "permit by consent"
    assert world.answer(world.consent(frame, "OPTOUT")) == "deny by consent"
    assert world.answer(world.consent(frame)) == "deny by indeterminate"
    assert world.answer(world.consent(frame, "OPTIN"), time="2025-01-01T00:00:00Z") == (
        "deny by default"
    )


def test_2_2_a_deny_frame_with_nested_rules_is_weak_where_none_of_them_matches(world: Any) -> None:
    nested = [
        {"type": "permit", "purpose": world.purposes("TREAT")},
        {"type": "deny", "purpose": world.purposes("HPAYMT")},
    ]
    consent = world.consent({"provision": nested}, "OPTOUT")
    permit = world.consent({"type": "permit"}, id_="p")
    assert world.answer(consent) == "permit by consent"
    assert world.answer(consent, purpose="HRESCH") == "deny by base"
    assert world.answer([consent, permit], purpose="HRESCH") == "permit by consent"
    assert world.answer([consent, permit], purpose="HPAYMT") == "deny by consent"


@pytest.mark.parametrize(
    ("rule", "actor", "matching", "other"),
    [
        ("OPTIN", ("Organization/1", "CST"), "deny by consent", "permit by consent"),
        ("OPTIN", ("Organization/1", "PRCP"), "deny by consent", "permit by consent"),
        ("OPTOUT", ("Organization/1", "CST"), "deny by consent", "deny by base"),
        ("OPTOUT", ("Organization/1", "PRCP"), "permit by consent", "deny by base"),
    ],
)
def test_2_2_an_untyped_root_with_selectors_is_an_exception_to_the_base(
    world: Any, rule: str, actor: tuple[str, str], matching: str, other: str
) -> None:
    consent = world.consent({"actor": [world.actor(*actor)]}, rule)
    assert world.answer(consent) == matching
    assert world.answer(consent, custodian="Organization/2", actors=["Practitioner/2"]) == other


def test_2_2_an_untyped_root_without_base_cannot_be_interpreted(world: Any) -> None:
    consent = world.consent({"actor": [world.actor("Practitioner/1")]}, "IMPLIED")
    assert world.answer(consent, config=Config("permit")) == "deny by indeterminate"
