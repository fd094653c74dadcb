"""Steps 1, 2, 7, 8 and 9: who decides, and what is passed on."""

from datetime import UTC, datetime
from typing import Any

import pytest

from consent_engine import Coding, Config, compile_policy, decide, join_subjects

BTG = {"purpose": "BTG", "actors": ["Practitioner/1", "Group/er"]}
GLASS = Config(break_glass=frozenset({"Group/er"}))


def deny_for(world: Any, *purposes: str, **more: Any) -> dict[str, Any]:
    return world.consent({"type": "deny", "purpose": world.purposes(*purposes)}, **more)


def test_with_no_consent_at_all_everything_is_denied(world: Any) -> None:
    assert world.answer([]) == "deny by default"
    assert compile_policy([], Config()).narrow(world.request()).kind == "deny"
    assert world.answer([], config=Config(default="Permit")) == "deny by default"
    assert world.answer([], config=Config(default="permit")) == "permit by default"


# Step 1


def test_step_1_patients_see_their_own_records(world: Any) -> None:
    actors = ["Patient/1/_history/3"]
    consent = world.consent({"type": "deny"})
    assert world.answer(consent, actors=actors) == "permit by self"
    assert world.answer([], actors=["Patient/11"]) == "deny by default"


def test_step_1_the_organization_may_withhold_even_from_the_patient(world: Any) -> None:
    config = Config(
        admin_policies=(world.policy({"type": "deny", "class": world.classes("Media")}),)
    )
    given = {"actors": ["Patient/1"], "config": config}
    assert world.answer([], world.record(type_="Media"), **given) == "deny by admin"
    assert world.answer([], world.record(), **given) == "permit by self"


def test_step_1_a_related_person_needs_a_consent(world: Any) -> None:
    assert world.answer([], actors=["RelatedPerson/1"]) == "deny by default"


# Step 2


@pytest.mark.parametrize(
    "more",
    [
        {"status": "inactive"},
        {"status": "draft"},
        {"status": "entered-in-error"},
        {"patient": {"reference": "Patient/2"}},
        {"patient": {"reference": "https://elsewhere.example/Patient/1"}},
        {"dateTime": "2024-06-02"},
        {"scope": {"coding": [{"system": "http://example.org", "code": "treatment"}]}},
    ],
)
def test_step_2_a_consent_that_is_no_candidate_is_ignored(world: Any, more: dict[str, Any]) -> None:
    decision = world.decide(world.consent({"type": "deny"}, **more), config=Config("permit"))
    assert (decision.decision, decision.basis) == ("permit", "default")
    assert decision.explanation[0].startswith("Consent/c: ignored")


def test_step_2_a_version_in_the_patient_reference_does_not_matter(world: Any) -> None:
    consent = world.consent({"type": "permit"}, patient={"reference": "Patient/1/_history/2"})
    assert world.answer(consent) == "permit by consent"


def test_step_2_research_and_a_category_of_the_scope_system_count(world: Any) -> None:
    research = world.consent({"type": "permit"}, scope=world.concept("scope", "research"))
    by_category = world.consent(
        {"type": "permit"},
        scope=world.concept("http://example.org", "x"),
        category=[world.concept("scope", "patient-privacy")],
    )
    treatment = world.consent({"type": "permit"}, scope=world.concept("scope", "treatment"))
    assert world.answer(research) == "permit by consent"
    assert world.answer(by_category) == "permit by consent"
    assert world.answer(treatment) == "deny by default"


def test_step_2_a_consent_holds_from_its_date_and_within_its_period(world: Any) -> None:
    provision = {"type": "permit", "period": {"start": "2024-06-02", "end": "2024-06-03"}}
    consent = world.consent(provision, dateTime="2024-06-01")
    answers = [
        world.answer(consent, time=time)
        for time in ("2024-06-01T23:59:59Z", "2024-06-02T00:00:00Z", "2024-06-03T23:59:59.999999Z")
    ]
    assert answers == ["deny by default", "permit by consent", "permit by consent"]
    assert world.answer(consent, time="2024-06-04T00:00:00Z") == "deny by default"


# Step 7


def test_step_7_a_deny_of_one_consent_overrides_the_permit_of_another(world: Any) -> None:
    permit, deny = world.consent({"type": "permit"}), world.consent({"type": "deny"}, id_="d")
    decision = world.decide([permit, deny])
    assert (decision.decision, decision.basis) == ("deny", "consent")
    assert [by.consent for by in decision.decided_by] == ["Consent/d"]


def test_step_7_the_base_of_an_opt_out_is_weaker_than_any_permit(world: Any) -> None:
    def nobody_but(reference: str) -> dict[str, Any]:
        return world.consent({"type": "permit", "actor": [world.actor(reference)]}, "OPTOUT")

    two = [nobody_but("Practitioner/1"), nobody_but("Practitioner/2")]
    for reader in ("Practitioner/1", "Practitioner/2"):
        assert world.answer(two, actors=[reader]) == "permit by consent"
    assert world.answer(two, actors=["Practitioner/3"]) == "deny by base"
    assert world.answer(two, actors=["X/3"], config=Config("permit")) == "deny by base"


def test_step_7_admin_policies_join_the_consents(world: Any) -> None:
    permit = Config(admin_policies=(world.policy({"type": "permit"}),))
    deny = Config("permit", admin_policies=(world.policy({"type": "deny"}),))
    assert world.answer([], config=permit) == "permit by admin"
    assert world.answer(world.consent({"type": "permit"}), config=permit) == "permit by consent"
    assert world.answer(world.consent({"type": "deny"}), config=permit) == "deny by consent"
    assert world.answer(world.consent({"type": "permit"}), config=deny) == "deny by admin"
    assert world.answer([], config=permit, subjects=[]) == "permit by admin"


def test_step_7_an_admin_policy_may_be_about_one_patient(world: Any) -> None:
    court_order = world.policy({"type": "deny"}, patient={"reference": "Patient/2"})
    config = Config("permit", admin_policies=(court_order,))
    assert world.answer([], config=config) == "permit by default"
    assert world.answer([], config=config, subjects=["Patient/2"]) == "deny by admin"
    assert world.answer([], config=config, subjects=[]) == "permit by default"


def test_step_7_a_patients_consent_says_nothing_about_records_of_nobody(world: Any) -> None:
    assert world.answer(world.consent({"type": "permit"}), subjects=[]) == "deny by default"


def test_step_7_a_mandatory_policy_is_asked_first(world: Any) -> None:
    public_health = world.policy({"type": "permit", "purpose": world.purposes("PUBHLTH")})
    config = Config(mandatory_policies=(public_health,))
    deny = world.consent({"type": "deny"})
    assert world.answer(deny, config=config, purpose="DISASTER") == "permit by admin"
    assert world.answer(deny, config=config) == "deny by consent"
    order = Config(
        mandatory_policies=(world.policy({"type": "deny"}),), break_glass=frozenset({"Group/er"})
    )
    assert world.answer([], config=order, actors=["Patient/1"]) == "deny by admin"
    assert world.answer([], config=order, **BTG) == "deny by admin"


def test_step_7_a_mandatory_policy_that_looks_at_the_record_is_still_first(world: Any) -> None:
    config = Config(
        mandatory_policies=(world.policy({"type": "permit", "class": world.classes("Media")}),)
    )
    deny = world.consent({"type": "deny"})
    assert world.answer(deny, world.record(type_="Media"), config=config) == "permit by admin"
    assert world.answer(deny, world.record(), config=config) == "deny by consent"


def test_step_7_an_indeterminate_consent_denies_whatever_else_permits(world: Any) -> None:
    broken = world.consent({"type": "maybe"}, id_="b")
    decision = world.decide([world.consent({"type": "permit"}), broken], config=Config("permit"))
    assert (decision.decision, decision.basis) == ("deny", "indeterminate")
    assert [by.consent for by in decision.decided_by] == ["Consent/b"]


# Step 8


def test_step_8_break_glass_overrides_a_deny_with_obligations(world: Any) -> None:
    decision = world.decide(deny_for(world, "TREAT"), config=GLASS, **BTG)
    assert (decision.decision, decision.basis) == ("permit", "break-glass")
    assert "reason-text-required" in decision.obligations
    assert "audit-purpose-of-event:BTG" in decision.obligations
    assert {"notify:patient", "notify:privacy-officer"} <= set(decision.obligations)
    assert decision.valid_until == datetime(2024, 6, 1, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    "given",
    [
        {**BTG, "purpose": "ETREAT"},
        {**BTG, "purpose": "TREAT"},
        {**BTG, "purpose": None},
        {**BTG, "purpose": Coding("http://example.org", "BTG")},
        {**BTG, "actors": ["Practitioner/1"]},
        {**BTG, "actors": ["Group/er2"]},
    ],
)
def test_step_8_the_glass_holds_for_everything_else(world: Any, given: dict[str, Any]) -> None:
    consent = world.consent({"type": "deny"})
    assert world.answer(consent, config=GLASS, **given) == "deny by consent"


@pytest.mark.parametrize("named", ["BTG", "ETREAT"])
def test_step_8_a_deny_that_names_the_emergency_is_respected(world: Any, named: str) -> None:
    assert world.answer(deny_for(world, named), config=GLASS, **BTG) == "deny by consent"
    inherited = world.consent(
        {
            "type": "permit",
            "purpose": world.purposes(named),
            "provision": [{"type": "deny", "class": world.classes("Observation")}],
        }
    )
    assert world.answer(inherited, config=GLASS, **BTG) == "deny by consent"


def test_step_8_an_expiry_of_a_consent_comes_before_four_hours(world: Any) -> None:
    consent = world.consent({"type": "deny", "period": {"end": "2024-06-01T13:00:00Z"}})
    until = world.decide(consent, config=GLASS, **BTG).valid_until
    assert until == datetime(2024, 6, 1, 13, 0, 1, tzinfo=UTC)


def test_step_8_an_indeterminate_consent_that_mentions_the_emergency_holds(world: Any) -> None:
    broken = world.consent({"type": "maybe", "purpose": world.purposes("BTG")})
    other = world.consent({"type": "maybe"})
    assert world.answer(broken, config=GLASS, **BTG) == "deny by indeterminate"
    assert world.answer(other, config=GLASS, **BTG) == "permit by break-glass"


def test_step_8_a_broken_glass_is_not_remembered_beyond_its_time(world: Any) -> None:
    policy = compile_policy([world.consent({"type": "deny"})], GLASS, "Patient/1")
    for hour in (12, 13):
        time = datetime(2024, 6, 1, hour, tzinfo=UTC)
        verdict = policy.narrow(world.request(**BTG, time=time))
        assert verdict.decision is not None
        assert verdict.decision.valid_until == time.replace(hour=hour + 4)


# Step 9


def test_step_9_every_patient_of_a_record_has_to_permit(world: Any) -> None:
    mother = world.consent({"type": "permit"}, id_="m")
    child = world.consent({"type": "permit"}, id_="k", patient={"reference": "Patient/2"})
    both = ["Patient/1", "Patient/2"]
    assert world.answer([mother], subjects=both) == "deny by default"
    assert world.answer([mother, child], subjects=both) == "permit by consent"
    decision = world.decide([mother, child], subjects=both)
    assert [by.consent for by in decision.decided_by] == ["Consent/m", "Consent/k"]


def test_step_9_a_patient_sees_a_shared_record_only_if_the_other_permits(world: Any) -> None:
    both = ["Patient/1", "Patient/2"]
    assert world.answer([], subjects=both, actors=["Patient/2"]) == "deny by default"
    consent = world.consent({"type": "permit"})
    assert world.decide([consent], subjects=both, actors=["Patient/2"]).decision == "permit"


def test_step_9_a_consent_of_no_readable_patient_denies_for_all(world: Any) -> None:
    permits = [world.consent({"type": "permit"}), world.consent({"type": "permit"}, patient=...)]
    assert world.answer(permits) == "deny by indeterminate"


def test_no_decisions_decide_nothing() -> None:
    with pytest.raises(ValueError, match="at least one"):
        join_subjects([])


# The answer


def test_valid_until_is_the_next_boundary_of_any_candidate_even_of_a_future_one(world: Any) -> None:
    consents = [
        world.consent({"type": "permit", "period": {"start": "2024-01-01", "end": "2024-12-31"}}),
        world.consent({"type": "deny", "period": {"start": "2024-09-01"}}),
        world.consent({"type": "deny"}, dateTime="2024-08-15T10:00:00+02:00"),
        world.consent({"type": "deny", "period": {"end": "2024-07-01"}}, status="inactive"),
        world.consent(
            {"type": "permit", "provision": [{"type": "deny", "period": {"start": "2024-08-01"}}]}
        ),
    ]
    assert world.decide(consents).valid_until == datetime(2024, 8, 1, tzinfo=UTC)
    later = world.decide(consents, time="2024-08-01T00:00:00Z")
    assert later.valid_until == datetime(2024, 8, 15, 8, tzinfo=UTC)
    assert world.decide(consents, time="2025-01-01T00:00:00Z").valid_until is None


def test_a_remembered_verdict_does_not_outlive_its_window(world: Any) -> None:
    consent = world.consent({"type": "permit", "period": {"end": "2024-06-01"}})
    policy = compile_policy([consent], Config(), "Patient/1")
    kinds = [
        policy.narrow(world.request(time=time)).kind
        for time in ("2024-06-01T12:00:00Z", "2024-06-01T23:59:59Z", "2024-06-02T00:00:00Z")
    ]
    assert kinds == ["permit", "permit", "deny"]


def test_the_explanation_has_one_line_per_consent_and_no_names(world: Any) -> None:
    patient = {"reference": "Patient/1", "display": "Erika Mustermann"}
    provision = {"type": "permit", "actor": [world.actor("Practitioner/5")]}
    consents = [
        world.consent(provision, patient=patient, id_="a", meta={"versionId": "4"}),
        world.consent({"type": "deny"}, status="draft", patient=patient, id_="b"),
        world.consent({"type": "deny"}, patient=patient, id_="c", status="Erika"),
    ]
    decision = world.decide(consents)
    assert decision.explanation == (
        "Consent/a: abstain: provision.actor does not match",
        "Consent/b: ignored: status does not match",
        "Consent/c: indeterminate: status: not a status of R4",
    )
    assert "Mustermann" not in str(decision)


def test_the_deciding_rule_is_named_with_its_version_and_path(world: Any) -> None:
    nested = {"type": "deny", "class": world.classes("Observation")}
    consent = world.consent({"type": "permit", "provision": [nested]}, meta={"versionId": "4"})
    by = world.decide(consent).decided_by[0]
    assert (by.consent, by.version, by.path) == ("Consent/c", "4", "provision.provision[0]")


def test_a_request_without_a_zone_is_refused(world: Any) -> None:
    with pytest.raises(ValueError, match="zone"):
        world.request(time=datetime(2024, 6, 1))  # noqa: DTZ001


def test_the_verdict_tells_which_references_it_needs(world: Any) -> None:
    consent = world.consent({"type": "deny", "data": world.data("related", "Encounter/1")}, "OPTIN")
    verdict = compile_policy([consent], Config(), "Patient/1").narrow(world.request())
    assert verdict.kind == "depends"
    assert verdict.decision is None
    assert verdict.needs == {"Encounter/1"}
    assert verdict.decide(world.record(), {"Encounter/1": ()}).decision == "permit"
    assert verdict.decide(world.record(), {"Encounter/1": ("Observation/r",)}).decision == "deny"
    assert verdict.decide(world.record()).decision == "deny"


def test_a_data_rule_for_somebody_else_is_settled_without_the_record(world: Any) -> None:
    rule = {
        "type": "deny",
        "actor": [world.actor("Practitioner/9")],
        "data": world.data("instance", "X/1"),
    }
    policy = compile_policy([world.consent(rule, "OPTIN")], Config(), "Patient/1")
    assert policy.narrow(world.request()).kind == "permit"
    assert policy.narrow(world.request(actors=["Practitioner/9"])).kind == "depends"


def test_a_deny_settles_the_verdict_although_another_consent_looks_at_the_record(
    world: Any,
) -> None:
    consents = [
        world.consent({"type": "deny"}),
        world.consent({"type": "permit", "class": world.classes("Media")}),
    ]
    verdict = compile_policy(consents, Config(), "Patient/1").narrow(world.request())
    assert verdict.kind == "deny"
    assert verdict.decision is not None
    assert "not asked" in verdict.decision.explanation[1]


# Step 10, as far as it is pure


def test_step_10_substance_use_records_carry_the_notice(world: Any) -> None:
    consent = world.consent({"type": "permit"})
    for label in ("SUD", "ETHUD", "OPIOIDUD", "ETH"):
        duties = world.decide(consent, world.record("R", label)).obligations
        assert duties == ("notice:42-CFR-2.32", "copy-of-consent:42-CFR-2.32")
    assert world.decide(consent, world.record("HIV")).obligations == ()


def test_step_10_refrain_codes_are_passed_on(world: Any) -> None:
    consent = world.consent({"type": "permit"})
    duties = world.decide(consent, world.record("N", "NORDSCLCD", "NOAUTH")).obligations
    assert duties == ("refrain:NOAUTH", "refrain:NORDSCLCD")


def test_step_10_a_denied_record_has_no_obligations_and_tells_nothing_of_its_labels(
    world: Any,
) -> None:
    decision = world.decide(world.consent({"type": "deny"}), world.record("SUD"))
    assert decision.obligations == ()


def test_whole_decisions_and_verdicts_agree(world: Any) -> None:
    consent = world.consent({"type": "permit", "purpose": world.purposes("TREAT")})
    request = world.request()
    whole = decide(["Patient/1"], [consent], request, world.record(), Config())
    policy = compile_policy([consent], Config(), "Patient/1/_history/7")
    assert policy.narrow(request).decide(world.record()) == whole
