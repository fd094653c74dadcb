"""Resources as text: stamped, resolved and split without touching anything else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.errors import InvalidResourceError, MalformedError
from fhir_server.resource_text import (
    entry_resources,
    instant,
    read_resource,
    references,
    rewrite_references,
    stamp,
)
from profiles.strict_json import members

SCALARS = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=6) | st.just("reference"), inner, max_size=3)
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(
    st.text(max_size=8) | st.sampled_from(["id", "meta", "reference"]), VALUES, max_size=6
)


def _body(value: dict[str, object], *, ascii_: bool, indent: int | None) -> bytes:
    return json.dumps(
        {**value, "resourceType": "Basic"}, ensure_ascii=ascii_, indent=indent
    ).encode()


@given(value=OBJECTS, ascii_=st.booleans(), indent=st.sampled_from([None, 1]))
def test_a_stamp_changes_id_and_meta_only(
    value: dict[str, object], ascii_: bool, indent: int | None
) -> None:
    resource = read_resource(_body(value, ascii_=ascii_, indent=indent))
    stamped = stamp(resource, "new", 3, 0)
    assert json.loads(stamped.text) == json.loads(json.dumps(stamped.value, default=str))
    assert stamped.value["id"] == "new"
    meta = stamped.value["meta"]
    assert isinstance(meta, dict)
    assert (meta["versionId"], meta["lastUpdated"]) == ("3", "1970-01-01T00:00:00.000Z")
    before = {m.name: resource.text[m.value_start : m.end] for m in members(resource.text)}
    after = {m.name: stamped.text[m.value_start : m.end] for m in members(stamped.text)}
    assert before.keys() | {"id", "meta"} == after.keys()
    for name in before.keys() - {"id", "meta", "resourceType"}:
        assert before[name] == after[name]


@given(value=OBJECTS)
def test_a_rewritten_text_and_its_value_say_the_same(value: dict[str, object]) -> None:
    resource = read_resource(_body(value, ascii_=True, indent=None))
    rewritten = rewrite_references(resource, lambda r: f"New/{len(r)}")
    assert json.loads(rewritten.text) == json.loads(json.dumps(rewritten.value, default=str))
    assert sorted(references(rewritten.value)) == sorted(
        f"New/{len(r)}" for r in references(resource.value)
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"resourceType":"Basic","subject":{"reference":"urn:uuid:1"}}',
        '{"resourceType":"Basic","subject":{"reference" :\n "urn:uuid:1" }}',
        '{"resourceType":"Basic","subject":{"reference":"urn\\u003auuid:1"}}',
    ],
)
def test_a_reference_is_resolved_however_it_is_spelled(text: str) -> None:
    known = {"urn:uuid:1": "Patient/1"}
    assert references(rewrite_references(read_resource(text.encode()), known.get).value) == [
        "Patient/1"
    ]


def test_a_text_that_only_looks_like_a_reference_stays() -> None:
    note = r'{"resourceType":"Basic","x":"say \"reference\":\"urn:uuid:1\"","subject":{"reference":"urn:uuid:1"}}'
    rewritten = rewrite_references(read_resource(note.encode()), {"urn:uuid:1": "P/1"}.get)
    assert rewritten.value["x"] == 'say "reference":"urn:uuid:1"'
    assert references(rewritten.value) == ["P/1"]


def test_a_reference_whose_name_is_written_with_escapes_is_refused_not_missed() -> None:
    odd = b'{"resourceType":"Basic","subject":{"\\u0072eference":"urn:uuid:1"}}'
    with pytest.raises(InvalidResourceError):
        rewrite_references(read_resource(odd), {"urn:uuid:1": "P/1"}.get)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'{"a":1,"a":2}', b"NaN", b'{"resourceType":"X"} x']
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        read_resource(body)


@pytest.mark.parametrize(
    "body", [b"[]", b"1", b"{}", b'{"resourceType":null}', b'{"resourceType":["Patient"]}']
)
def test_what_is_no_resource_is_invalid(body: bytes) -> None:
    with pytest.raises(InvalidResourceError):
        read_resource(body)


def test_entries_come_with_their_own_text() -> None:
    inner = '{ "resourceType":"Patient" , "x" : 1.00 }'
    bundle = read_resource(
        f'{{"resourceType":"Bundle","entry":[{{"resource":{inner}}},{{}}]}}'.encode()
    )
    found = list(entry_resources(bundle))
    assert found[0] is not None
    assert found[0].text == inner
    assert found[1] is None


def test_an_instant_keeps_its_milliseconds() -> None:
    assert instant(1_588_593_600_007) == "2020-05-04T12:00:00.007Z"
    assert instant(-1) == "1969-12-31T23:59:59.999Z"
