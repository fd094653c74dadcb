"""Tokens that are remembered are the tokens that would be made."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.scopes import PatientOnly
from fhir_server.search import tokens as module
from fhir_server.search.match import Matcher
from fhir_server.search.plan import groups
from fhir_server.search.query import parse_criteria
from fhir_server.search.tokens import Tokenizer
from fhir_server.search.values import ResourceValues, Searchable
from profiles.definitions import r4

from ..shared_data import folder_of, lines_of, r4_examples
from .agreement import BASE, BLIND, NOW, SEARCHABLE, TOKENIZER, scan

REFERENCES = ("Patient/1", "Group/1", "http://localhost/other/Device/1", "urn:uuid:1", "Patient/11")


def test_what_events_of_one_caller_share_is_remembered_without_changing_their_tokens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = [
        json.loads(line) for line in lines_of(folder_of("balp-auditevents") / "AuditEvent.ndjson")
    ]
    contained = {"contained": [{"resourceType": "Device", "id": "d"}]}
    shown = [
        *events,
        *({**event, **contained} for event in events),
        {**events[0], "outcomeDesc": "x" * 9000},
    ]
    blind, searchable = BlindIndex(b"k" * 32, "tenant"), Searchable(r4())
    remembering = Tokenizer(searchable, blind)
    twice = [remembering.tokens("AuditEvent", event, ()) for event in shown + shown]
    monkeypatch.setattr(module, "_LONGEST_STEADY", 0)
    plain = Tokenizer(searchable, blind)
    assert twice == [plain.tokens("AuditEvent", event, ()) for event in shown + shown]
    monkeypatch.setattr(module, "_LONGEST", 0)
    forgetful = Tokenizer(searchable, blind)
    assert twice == [forgetful.tokens("AuditEvent", event, ()) for event in shown + shown]
    assert len(set(twice)) > len(events) / 2


def test_the_entities_of_an_event_have_the_tokens_of_each_parameter_that_looks_at_them() -> None:
    blind, searchable = BlindIndex(b"k" * 32, "tenant"), Searchable(r4())
    tokenizer = Tokenizer(searchable, blind)
    kind = {"type": {"system": "s", "code": "2"}, "role": {"system": "r", "code": "4"}}
    entities: list[dict[str, object]] = [
        {"what": {"reference": "Patient/1"}, **kind, "name": "Some name"},
        {"what": {"reference": "Observation/1/_history/1"}, **kind},
        {"what": {"identifier": {"value": "request"}}, "detail": [{"type": "a"}]},
        {"query": "aGk=", "securityLabel": [{"code": "R"}], "unknown": [1, {"what": "x"}]},
        {"what": {"identifier": {"system": "http://s", "value": "request"}}},
        {"what": {"identifier": {"value": "1"}, "type": "Patient"}},
        {"what": {"identifier": {"value": None}}, "name": "Other"},
        {"what": {"identifier": ["request"]}},
        {"what": {"display": "Somebody"}},
        *({"what": {"reference": reference}} for reference in (*REFERENCES, "#contained", "", "1")),
        {"what": {"reference": "Group/1", "type": "Patient"}},
        {"what": ["Patient/1", None, {"reference": "Patient/2"}]},
    ]
    alone = [[entity] for entity in entities]
    for some in ([*entities], *alone, [], ["no entity"], [None]):
        event = {"resourceType": "AuditEvent", "entity": some}
        expected = [
            tokenizer.tokens_of(code, "AuditEvent", event, ())
            for code in ("entity", "entity-name", "entity-role", "entity-type", "patient")
        ]
        assert tokenizer.tokens("AuditEvent", event, ()) == frozenset().union(*expected)


def kept_elsewhere(values: ResourceValues) -> Mapping[str, str]:
    """The parameters of a type that the index keeps under another one's name, with that."""
    found = {code: values.indexed_as(code) for code in values.parameters}
    return {code: other for code, other in found.items() if code != other}


def test_every_value_of_a_parameter_without_tokens_lies_in_the_one_that_serves_for_it() -> None:
    blind, searchable = BlindIndex(b"k" * 32, "tenant"), Searchable(r4())
    tokenizer, seen = Tokenizer(searchable, blind), set()
    for resource in map(json.loads, r4_examples()):
        type_ = resource["resourceType"]
        values = searchable.of(type_)
        made = tokenizer.tokens(type_, resource, ())
        for code, other in kept_elsewhere(values).items():
            found = values.find(values.parameters[code], resource)
            wider = values.find(values.parameters[other], resource)
            if values.parameters[code].type == "string":  # a name is read as its words
                found, wider = (
                    [w for v in some for w in str(v).split()] for some in (found, wider)
                )
            assert {str(v) for v in found} <= {str(v) for v in wider}, (type_, code)
            assert tokenizer.tokens_of(other, type_, resource, ()) <= made
            seen.update([(type_, code)] if found else [])
    assert len(seen) > 30
    assert {"phonetic", "family", "given", "address-city", "patient"} <= {code for _, code in seen}


def test_a_parameter_of_another_kind_is_never_served_by_one_that_looks_elsewhere() -> None:
    """By their paths: the same, below a name or an address, or the subjects that are patients."""
    for type_ in r4().resource_types:
        values = Searchable(r4()).of(type_)
        for code, other in kept_elsewhere(values).items():
            own, wide = values.parameters[code], values.parameters[other]
            assert own.type == wide.type
            assert values.indexed_as(other) == other
            paths = {branch.steps for branch in values._branches[other]}
            for branch in values._branches[code]:
                steps = tuple(step for step in branch.steps if not callable(step))
                assert paths & {steps, steps[:-1]}, (type_, code)


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_reference_to_few_types_has_no_token_of_its_id_alone(reference: str) -> None:
    blind, searchable = BlindIndex(b"k" * 32, "tenant"), Searchable(r4())
    resource = {"resourceType": "Observation", "subject": {"reference": reference}}
    made = Tokenizer(searchable, blind).tokens("Observation", resource, ())
    texts = {reference, "/".join(reference.split("/")[-2:])}
    assert made == {blind.token("Observation", "subject", "reference", text) for text in texts}
    about = {"resourceType": "Task", "focus": {"reference": reference}}  # of any type
    assert blind.token("Task", "focus", "reference", reference.rpartition("/")[2]) in Tokenizer(
        searchable, blind
    ).tokens("Task", about, ())


@pytest.mark.parametrize(
    ("type_", "name", "value", "expected"),
    [
        ("Observation", "subject", "1", [0, 1, 2]),
        ("Observation", "subject", "Patient/1", [0]),
        ("Observation", "subject:Group", "1", [1]),
        ("Observation", "patient", "1", [0]),
        ("Observation", "patient", "1,11", [0, 4]),
        ("Observation", "subject", "urn:uuid:1", [3]),
        ("Observation", "subject", "Device/1", []),
        ("Observation", "subject", "http://localhost/other/Device/1", [2]),
        ("Task", "subject", "1", [0, 1, 2]),
        ("Task", "patient", "1", [0]),
    ],
)
def test_an_id_alone_is_asked_for_under_each_type_that_it_may_be_of(
    type_: str, name: str, value: str, expected: list[int]
) -> None:
    member = "for" if type_ == "Task" else "subject"
    resources = [{"resourceType": type_, member: {"reference": each}} for each in REFERENCES]
    assert scan(resources, name, value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("c", [0, 1, 3]),
        ("s|c", [0]),
        ("|c", [3]),
        ("a\\|b|c", [1]),
        ("s|c,s|d", [0, 2]),
        ("s|", [0, 2]),
        ("s|,x", [0, 2]),
        ("t|c", []),
    ],
)
def test_codes_of_one_patient_are_found_by_any_of_their_parts(
    value: str, expected: list[int]
) -> None:
    codings = [("s", "c"), ("a|b", "c"), ("s", "d"), ("", "c")]
    resources = [
        {
            "resourceType": "Condition",
            "subject": {"reference": "Patient/1"},
            "code": {"coding": [{"system": system, "code": code} if system else {"code": code}]},
        }
        for system, code in codings
    ]
    values = SEARCHABLE.of("Condition")
    criteria = parse_criteria(values, [("patient", "1"), ("code", value)])
    wanted = groups(values, criteria, BLIND, BASE, NOW)
    made = [TOKENIZER.tokens("Condition", each, ("Patient/1",)) for each in resources]
    candidates = [n for n, tokens in enumerate(made) if all(tokens & set(g) for g in wanted)]
    assert set(expected) <= set(candidates)
    matcher = Matcher(values, criteria, BASE, NOW)
    assert [n for n in candidates if matcher.matches(resources[n])] == expected


def test_within_a_patient_a_code_lies_without_its_system() -> None:
    blind = BlindIndex(b"k" * 32, "tenant")
    owner = blind.patient("Patient/1").hex()
    coded = {"coding": [{"system": "s", "code": "c"}, {"system": "only"}]}
    resource = {"resourceType": "Condition", "code": coded}
    made = Tokenizer(Searchable(r4()), blind).tokens("Condition", resource, ("Patient/1",))
    terms = (("code", "c"), ("both", "s|c"), ("system", "s"), ("system", "only"))
    having = [blind.token("Condition", f"code@{owner}", *term) in made for term in terms]
    assert having == [True, False, False, False]
    assert all(blind.token("Condition", "code", *term) in made for term in terms)


@pytest.mark.parametrize("named", ["Observation.code", "Observation.combo-code"])
def test_whoever_names_a_parameter_hides_its_values_wherever_they_lie(named: str) -> None:
    scopes = PatientOnly((named,), frozenset({"Observation"}))
    tokenizer = Tokenizer(Searchable(r4()), BlindIndex(b"k" * 32, "tenant", scopes))
    resource = {"resourceType": "Observation", "code": {"coding": [{"system": "s", "code": "c"}]}}
    one, other = (
        tokenizer.tokens("Observation", resource, (patient,))
        for patient in ("Patient/1", "Patient/2")
    )
    assert one
    assert one.isdisjoint(other)
