"""Tokens that are remembered are the tokens that would be made."""

from __future__ import annotations

import json

import pytest

from fhir_server.crypto.blind import BlindIndex
from fhir_server.search import tokens as module
from fhir_server.search.tokens import Tokenizer
from fhir_server.search.values import Searchable
from profiles.definitions import r4

from ..shared_data import folder_of, lines_of


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
    ]
    for some in ([*entities], entities[:1], entities[2:3], [], ["no entity"], [None]):
        event = {"resourceType": "AuditEvent", "entity": some}
        expected = [
            tokenizer.tokens_of(code, "AuditEvent", event, ())
            for code in ("entity", "entity-name", "entity-role", "entity-type", "patient")
        ]
        assert tokenizer.tokens("AuditEvent", event, ()) == frozenset().union(*expected)
