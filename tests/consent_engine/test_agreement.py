"""Whole policies: the engine against a naive evaluator, and what must hold of any policy."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from consent_engine import Config, compile_policy, decide

from .naive import naive
from .strategies import JUNK, cases, consents, spoilt


def config_of(case: dict[str, Any]) -> Config:
    return Config(
        case["default"], admin_policies=tuple(case["admin"]), break_glass=frozenset({"Group/er"})
    )


def request_of(world: Any, case: dict[str, Any]) -> Any:
    return world.request(
        **{name: case[name] for name in ("actors", "purpose", "action", "custodian")}
    )


@settings(max_examples=300, deadline=None)
@given(case=cases())
def test_the_engine_agrees_with_the_text_of_the_algorithm(world: Any, case: dict[str, Any]) -> None:
    request, config = request_of(world, case), config_of(case)
    found = decide(
        ["Patient/1"], case["consents"], request, case["resource"], config, case["graph"]
    )
    assert (found.decision.value, found.basis.value) == naive(case)


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_a_verdict_that_needs_no_record_says_what_it_says_of_any_record(
    world: Any, case: dict[str, Any]
) -> None:
    verdict = compile_policy(case["consents"], config_of(case), "Patient/1").narrow(
        request_of(world, case)
    )
    found = verdict.decide(case["resource"], case["graph"])
    if verdict.decision is None:
        assert verdict.kind == "depends"
    else:
        assert verdict.kind == verdict.decision.decision == found.decision


@settings(max_examples=60, deadline=None)
@given(case=cases(), extra=consents())
def test_one_more_deny_never_turns_a_deny_into_a_permit(
    world: Any, case: dict[str, Any], extra: dict[str, Any]
) -> None:
    extra["provision"] = {**extra.get("provision", {}), "type": "deny"}
    extra["provision"].pop("provision", None)
    extra.pop("policyRule", None)
    request, config = request_of(world, case), config_of(case)
    rest = (request, case["resource"], config, case["graph"])
    before = decide(["Patient/1"], case["consents"], *rest)
    after = decide(["Patient/1"], [*case["consents"], extra], *rest)
    if before.decision == "deny":
        assert after.decision == "deny"


@settings(max_examples=60, deadline=None)
@given(case=cases(), extra=consents(), status=st.sampled_from(["inactive", "rejected"]))
def test_a_revoked_consent_is_as_if_it_were_absent(
    world: Any, case: dict[str, Any], extra: dict[str, Any], status: str
) -> None:
    request, config = request_of(world, case), config_of(case)
    rest = (request, case["resource"], config, case["graph"])
    revoked = {**extra, "status": status, "id": "revoked"}
    without = decide(["Patient/1"], case["consents"], *rest)
    with_it = decide(["Patient/1"], [*case["consents"], revoked], *rest)
    assert with_it.decision is without.decision
    assert with_it.basis is without.basis
    assert with_it.decided_by == without.decided_by
    assert with_it.valid_until == without.valid_until


@settings(max_examples=120, deadline=None)
@given(consent=spoilt(), case=cases())
def test_a_consent_with_an_element_of_the_wrong_type_permits_nothing(
    world: Any, consent: dict[str, Any], case: dict[str, Any]
) -> None:
    config = Config()
    request = world.request(actors=("Practitioner/1",))
    found = decide(["Patient/1"], [consent], request, case["resource"], config, case["graph"])
    assert found.decision == "deny"


@settings(max_examples=60, deadline=None)
@given(
    junk=st.recursive(
        JUNK,
        lambda inner: (
            st.dictionaries(
                st.sampled_from(
                    [
                        "meta",
                        "security",
                        "profile",
                        "id",
                        "resourceType",
                        "performer",
                        "contained",
                        "effectivePeriod",
                        "date",
                        "reference",
                        "coding",
                        "system",
                        "code",
                    ]
                ),
                inner,
            )
            | st.lists(inner, max_size=3)
        ),
    ),
    case=cases(),
)
def test_a_record_of_any_shape_gets_an_answer(world: Any, junk: Any, case: dict[str, Any]) -> None:
    resource = junk if isinstance(junk, dict) else {"meta": junk}
    request, config = request_of(world, case), config_of(case)
    found = decide(["Patient/1"], case["consents"], request, resource, config, case["graph"])
    assert found.decision in ("permit", "deny")


def test_thousands_of_random_cases_agree_and_reach_every_answer() -> None:
    from .agree import agree  # it draws on this file

    found = agree(3_000)
    assert len(found) >= 8
