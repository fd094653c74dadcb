"""PATCH in each of its kinds, over the way of any write."""

from __future__ import annotations

import json

import pytest

from ..clinic import HOUSE, Answer, Clinic, patient

KINDS = {
    "application/json-patch+json": '[{"op":"replace","path":"/active","value":true}]',
    "application/merge-patch+json": '{"active":true}',
    "application/fhir+json": json.dumps(
        {
            "resourceType": "Parameters",
            "parameter": [
                {
                    "name": "operation",
                    "part": [
                        {"name": "type", "valueCode": "replace"},
                        {"name": "path", "valueString": "Patient.active"},
                        {"name": "value", "valueBoolean": True},
                    ],
                }
            ],
        }
    ),
}
STORED = (
    '{"resourceType":"Patient","id":"p","active" : false, "extension": [ {"url":"urn:x","valueDecimal":1.00} ],'
    '"birthDate" :"2001-01-01"}'
)


@pytest.fixture
async def stored(clinic: Clinic) -> Clinic:
    assert (await clinic.ask(HOUSE, "PUT", "Patient/p", STORED)).status == 201
    return clinic


async def _patch(clinic: Clinic, kind: str, body: str | bytes, who: str = HOUSE) -> Answer:
    content = body.encode() if isinstance(body, str) else body
    return await clinic.ask(who, "PATCH", "Patient/p", content, {"content-type": kind})


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_changes_what_it_names_and_no_other_byte(stored: Clinic, kind: str) -> None:
    answer = await _patch(stored, kind, KINDS[kind])
    assert answer.status == 200
    assert answer.headers["ETag"] == 'W/"2"'
    text = answer.body.decode()
    assert '"active" : true' in text
    assert '"extension": [ {"url":"urn:x","valueDecimal":1.00} ]' in text
    assert '"birthDate" :"2001-01-01"' in text
    assert (await stored.get(HOUSE, "Patient/p")).body == answer.body
    assert (await stored.get(HOUSE, "Patient/p/_history/1")).json["active"] is False


@pytest.mark.parametrize("body", KINDS.values())
async def test_plain_json_may_be_any_kind(stored: Clinic, body: str) -> None:
    """fhirpy sends a merge patch as application/json."""
    answer = await _patch(stored, "application/json", body)
    assert (answer.status, answer.json["active"]) == (200, True)


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json-patch+json", "{", 400),
        ("application/json-patch+json", "{}", 400),
        ("application/json-patch+json", "", 400),
        ("application/json-patch+json", b"\xff", 400),
        ("application/json-patch+json", '[{"op":"remove","path":"/nothing"}]', 422),
        ("application/json-patch+json", '[{"op":"test","path":"/active","value":true}]', 422),
        ("application/json-patch+json", '[{"op":"replace","path":"/id","value":"q"}]', 422),
        ("application/json-patch+json", '[{"op":"remove","path":"/id"}]', 422),
        (
            "application/json-patch+json",
            '[{"op":"replace","path":"/resourceType","value":"Group"}]',
            422,
        ),
        ("application/json-patch+json", '[{"op":"replace","path":"","value":7}]', 422),
        ("application/json-patch+json", '[{"op":"add","path":"/nonsense","value":7}]', 422),
        ("application/merge-patch+json", "[]", 400),
        ("application/merge-patch+json", '{"active":"x"}', 422),
        ("application/merge-patch+json", '{"id":"q"}', 422),
        ("application/merge-patch+json", '{"id":null}', 422),
        ("application/merge-patch+json", '{"resourceType":null}', 422),
        ("application/merge-patch+json", '{"a":1,"a":2}', 400),
        ("application/fhir+json", '{"resourceType":"Patient","id":"p"}', 422),
        ("application/fhir+json", "[]", 422),
        ("application/fhir+json", '{"resourceType":"Parameters","parameter":[{"name":"x"}]}', 400),
        ("application/fhir+xml", "<a/>", 400),
        ("application/xml-patch+xml", "<diff/>", 400),
        ("text/plain", "x", 415),
        ("application/x-www-form-urlencoded", "active=true", 415),
    ],
)
async def test_a_bad_patch_is_refused_and_changes_nothing(
    stored: Clinic, kind: str, body: str | bytes, status: int
) -> None:
    answer = await _patch(stored, kind, body)
    assert answer.status == status, answer.body
    assert answer.json["resourceType"] == "OperationOutcome"
    assert (await stored.get(HOUSE, "Patient/p")).headers["ETag"] == 'W/"1"'


async def test_version_and_time_are_the_servers(stored: Clinic) -> None:
    body = '{"meta":{"versionId":"9","lastUpdated":"2000-01-01T00:00:00Z","source":"urn:s"}}'
    meta = (await _patch(stored, "application/merge-patch+json", body)).json["meta"]
    assert (meta["versionId"], meta["source"]) == ("2", "urn:s")
    assert meta["lastUpdated"] > "2020"


async def test_a_patch_that_changes_nothing_makes_no_version(stored: Clinic) -> None:
    answer = await _patch(stored, "application/merge-patch+json", '{"active":false}')
    assert (answer.status, answer.headers["ETag"]) == (200, 'W/"1"')


async def test_what_is_not_there_can_not_be_patched(clinic: Clinic) -> None:
    kind, body = "application/merge-patch+json", '{"active":true}'
    assert (await _patch(clinic, kind, body)).status == 404
    await clinic.put(patient("p"))
    await clinic.ask(HOUSE, "DELETE", "Patient/p")
    assert (await _patch(clinic, kind, body)).status == 410


async def test_an_audit_event_is_never_patched(clinic: Clinic) -> None:
    await clinic.get(HOUSE, "Patient/p")
    [event] = (await clinic.audits())[:1]
    answer = await clinic.ask(HOUSE, "PATCH", f"AuditEvent/{event['id']}", b"{}")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


async def test_a_patch_is_on_record_as_an_update_of_that_version(stored: Clinic) -> None:
    start = stored.log_size()
    await _patch(stored, "application/merge-patch+json", '{"active":true}')
    [event] = await stored.audits(start)
    assert (event["subtype"][0]["code"], event["action"]) == ("patch", "U")
    assert "Patient/p/_history/2" in str(event["entity"])


XML_PATCH = "application/xml-patch+xml"
DIFF = '<diff xmlns:f="http://hl7.org/fhir">{}</diff>'


async def test_an_xml_patch_changes_what_it_names_and_keeps_the_digits(stored: Clinic) -> None:
    diff = DIFF.format('<replace sel="f:Patient/f:active/@value">true</replace>')
    answer = await _patch(stored, XML_PATCH, diff)
    assert answer.status == 200
    assert answer.json["active"] is True
    assert '"valueDecimal":1.00' in answer.body.decode()
    assert answer.json["birthDate"] == "2001-01-01"


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        ("<move/>", 400), ('<remove sel="//*"/>', 400), ('<!DOCTYPE d><remove sel="f:Patient/f:active"/>', 400),
        ('<remove sel="f:Patient/f:gender"/>', 422), ('<replace sel="f:Patient/f:active/@value">maybe</replace>', 422),
        ('<add sel="f:Patient"><f:nickname value="x"/></add>', 422),
        ('<replace sel="f:Patient/f:id/@value">q</replace>', 422),
    ],
)  # fmt: skip
async def test_an_xml_patch_that_is_not_good_changes_nothing(
    stored: Clinic, operation: str, status: int
) -> None:
    assert (await _patch(stored, XML_PATCH, DIFF.format(operation))).status == status
    assert (await stored.get(HOUSE, "Patient/p")).headers["ETag"] == 'W/"1"'


async def test_a_fhirpath_patch_may_come_as_xml(stored: Clinic) -> None:
    parts = (
        '<part><name value="type"/><valueCode value="replace"/></part>'
        '<part><name value="path"/><valueString value="Patient.active"/></part>'
        '<part><name value="value"/><valueBoolean value="true"/></part>'
    )
    body = f'<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="operation"/>{parts}</parameter></Parameters>'
    assert (await _patch(stored, "application/fhir+xml", body)).json["active"] is True
