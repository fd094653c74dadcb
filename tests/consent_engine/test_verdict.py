"""A verdict remembers what it decided; of each record it says what one says that was asked nothing before."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from consent_engine import Compiler, Config, compile_policy

from .strategies import cases, records
from .test_agreement import config_of, request_of


@settings(max_examples=200, deadline=None)
@given(case=cases(), others=st.lists(records(), min_size=1, max_size=6))
def test_what_was_decided_before_changes_no_decision(
    world: Any, case: dict[str, Any], others: list[dict[str, Any]]
) -> None:
    policy = compile_policy(case["consents"], config_of(case), "Patient/1")
    request = request_of(world, case)
    used = policy.narrow(request)
    for record in (*others, case["resource"], *others):
        fresh = compile_policy(case["consents"], config_of(case), "Patient/1").narrow(request)
        assert used.decide(record, case["graph"]) == fresh.decide(record, case["graph"])


def test_a_graph_that_changed_is_asked_again(world: Any) -> None:
    consent = world.consent({"type": "permit", "data": world.data("related", "Encounter/1")})
    verdict = compile_policy([consent], Config(), "Patient/1").narrow(world.request())
    record = {"resourceType": "Observation", "id": "1"}
    assert verdict.decide(record, {"Encounter/1": ()}).decision == "deny"
    assert verdict.decide(record, {"Encounter/1": ("Observation/1",)}).decision == "permit"
    assert verdict.decide(record, {"Encounter/1": ()}).decision == "deny"


def test_more_kinds_of_records_than_are_remembered_are_decided_alike(world: Any) -> None:
    inner = {"type": "deny", "securityLabel": world.labels("PSY")}
    consent = world.consent({"type": "permit", "provision": [inner]})
    verdict = compile_policy([consent], Config(), "Patient/1").narrow(world.request())
    for number in range(300):
        for security, expected in ((world.labels("PSY"), "deny"), ([], "permit")):
            other = {"system": "urn:labels", "code": str(number)}
            record = {"resourceType": "Basic", "meta": {"security": [other, *security]}}
            assert verdict.decide(record).decision == expected


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_policies_for_everybody_say_the_same_to_every_patient(
    world: Any, case: dict[str, Any]
) -> None:
    compiler = Compiler(config_of(case))
    compiler.policy((), "Patient/2")
    request = request_of(world, case)
    found = compiler.policy(case["consents"], "Patient/1").narrow(request)
    alone = compile_policy(case["consents"], config_of(case), "Patient/1").narrow(request)
    asked = (case["resource"], case["graph"])
    assert found.decide(*asked) == alone.decide(*asked)
