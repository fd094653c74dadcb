"""FHIR over HTTP, whole: the ASGI application with a token that its own authorization server made."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from fhir_server.app import close_house, open_house
from fhir_server.errors import WrongKeyError
from fhir_server.rest import routes
from fhir_server.settings import Settings
from profiles.definitions import r4
from profiles.validation import r4_validator

from .served import ALL, FHIR, NARROW, Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD = b'{"resourceType":"Patient"}'


def _is_outcome(answer: httpx2.Response) -> str:
    """Assert an OperationOutcome with something to read; give its first diagnostics."""
    content = answer.json()
    assert content["resourceType"] == "OperationOutcome", answer.text
    assert content["issue"][0]["severity"] in ("error", "fatal")
    assert answer.headers["content-type"].startswith(FHIR)
    told = str(content["issue"][0]["diagnostics"])
    assert len(told) > 8
    return told


def _nested(depth: int) -> bytes:
    return b'{"resourceType":"Patient","x":' + b"[" * depth + b"]" * depth + b"}"


BODIES = [
    (b"", 400), (b"{", 400), (b"[]", 422), (b'"x"', 422), (b"null", 422), (b"7", 422), (b"{}", 422), (b"{} {}", 400),
    (b'{"resourceType":"Patient","active":true,"active":false}', 400),
    (b'{"resourceType":"Patient","extension":[{"url":"a","valueDecimal":NaN}]}', 400),
    (b'{"resourceType":"Patient","extension":[{"url":"a","valueDecimal":Infinity}]}', 400),
    (b'{"resourceType":"Patient","extension":[{"url":"a","valueDecimal":01}]}', 400),
    (b'{"resourceType":"Patient","extension":[{"url":"a","valueDecimal":1e999}]}', 400),
    (b'{"resourceType":"Patient","name":[{"family":"\\ud800"}]}', 400),
    (b'{"resourceType":"Patient","name":[{"family":"\xff"}]}', 400),
    (b'{"resourceType":"Patient","name":[{"family":"\x01"}]}', 400),
    (b"\xff\xfe{\x00}\x00", 400),
    (b'\xef\xbb\xbf\xef\xbb\xbf{"resourceType":"Patient"}', 400),
    (b"{'resourceType':'Patient'}", 400), (b'{"resourceType":"Patient",}', 400), (b'{"resourceType":"Patient"//x\n}', 400),
    (_nested(70), 400), (_nested(100_000), 400),
    (b'{"resourceType":"Observation"}', 422), (b'{"resourceType":7}', 422), (b'{"resourceType":"Nonsense"}', 422),
    (b'{"resourceType":"Patient","nonsense":1}', 422), (b'{"resourceType":"Patient","active":"true"}', 422),
    (b'{"resourceType":"Patient","name":{}}', 422), (b'{"resourceType":"Patient","name":[]}', 422),
    (b'{"resourceType":"Patient","name":[{}]}', 422), (b'{"resourceType":"Patient","name":null}', 422),
    (b'{"resourceType":"Patient","gender":"M"}', 422), (b'{"resourceType":"Patient","birthDate":"13.2.1971"}', 422),
    (b'{"resourceType":"Patient","birthDate":"1971-02-30"}', 422),
    (b'{"resourceType":"Patient","deceasedBoolean":true,"deceasedDateTime":"2020"}', 422),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status"), BODIES, ids=range(len(BODIES)))
async def test_a_body_that_is_no_resource_is_refused_clearly_and_on_record(
    served: Served, body: bytes, status: int
) -> None:
    before = await served.log_size()
    answer = await served.ask("POST", "/Patient", body)
    assert answer.status_code == status, answer.text
    told = _is_outcome(answer)
    if status == 422:
        assert answer.json()["issue"][0]["expression"], told
    assert await served.log_size() == before + 2  # the refusal, and the question before it


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/Nonsense", 404), ("GET", "/Nonsense/1", 404), ("POST", "/Nonsense", 404), ("GET", "/patient/1", 404),
        ("GET", "/Patient/1/2/3/4", 404), ("GET", "/Patient/" + "x" * 65, 404), ("GET", "/Patient/a_b", 404),
        ("GET", "/Patient/1/_history/x", 404), ("GET", "/Patient/1/_history/-1", 404),
        ("GET", "/Patient/1/_history/99999999999999999999", 404), ("GET", "/Patient/%00", 404),
        ("GET", "/Patient/1/$everything", 404), ("POST", "/Patient/1", 405), ("PUT", "/Patient", 405), ("DELETE", "/", 405),
        ("PATCH", "/", 405), ("PATCH", "/Patient/1", 422),
        ("PATCH", "/Patient", 405), ("DELETE", "/Patient", 405), ("PUT", "/metadata", 405),
        ("PUT", "/AuditEvent/1", 405), ("DELETE", "/AuditEvent/1", 405), ("GET", "/Patient?_count=x", 400),
        ("GET", "/%F0%28%8C%28", 404), ("GET", "/Patient%2F1", 404),
    ],
)  # fmt: skip
async def test_a_path_or_method_that_is_not_there_is_refused_on_record(
    served: Served, method: str, path: str, status: int
) -> None:
    before = await served.log_size()
    body = (
        b'{"resourceType":"AuditEvent","id":"1"}'
        if "Audit" in path
        else b'{"resourceType":"Patient"}'
    )
    answer = await served.ask(method, path, body if method in ("PUT", "POST", "PATCH") else b"")
    assert answer.status_code == status
    _is_outcome(answer)
    assert await served.log_size() == before + 2


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content_type": "text/plain"}, 415), ({"content_type": "application/fhir+json; fhirVersion=3.0"}, 415),
        ({"accept": "application/fhir+json; fhirVersion=5.0"}, 406), ({"content_type": "application/fhir+xml"}, 400),
        ({"content_type": "application/x-www-form-urlencoded"}, 415), ({"accept": "application/fhir+turtle"}, 406),
        ({"accept": "text/turtle"}, 406), ({"authorization": "Bearer x"}, 401), ({"authorization": "Basic eDp5"}, 401),
        ({"authorization": "Bearer " + "a." * 4000}, 401), ({"authorization": ""}, 401),
        ({"x_purpose_of_use": "HMARKT"}, 403), ({"if_none_exist": ""}, 400), ({"if_none_exist": "nonsense=1"}, 400),
    ],
)  # fmt: skip
async def test_a_header_that_is_not_good_is_refused(
    served: Served, headers: dict[str, str], status: int
) -> None:
    answer = await served.ask("POST", "/Patient", GOOD, **headers)
    assert answer.status_code == status
    _is_outcome(answer)
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "etag", ["1", "W/1", '"x"', 'W/"1', "* ,", '""', 'W/"-1"', 'W/"7", W/"8"', "x,y"]
)
async def test_an_if_match_that_is_no_version_is_refused(served: Served, etag: str) -> None:
    await served.ask("PUT", "/Patient/e", b'{"resourceType":"Patient","id":"e"}')
    answer = await served.ask(
        "PUT", "/Patient/e", b'{"resourceType":"Patient","id":"e"}', if_match=etag
    )
    assert answer.status_code in (400, 412)


async def test_an_altered_token_is_refused(served: Served) -> None:
    token = served.token(ALL)
    head, body, signature = token.split(".")
    for wrong in (
        f"{head}.{body}.{signature[:-4]}AAAA", f"{head}.{body[:-4]}AAAA.{signature}", f"{head}.{body}.", f"{head}.{body}",
        "eyJhbGciOiJub25lIn0." + body + ".", token + "A",
    ):  # fmt: skip
        answer = await served.ask("GET", "/Patient", authorization=f"Bearer {wrong}")
        assert answer.status_code == 401
        assert token not in answer.text


async def test_a_scope_that_does_not_reach_is_403_and_names_the_interaction(served: Served) -> None:
    token = served.token(NARROW)
    answer = await served.ask("GET", "/Patient", authorization=f"Bearer {token}")
    assert answer.status_code == 403
    assert "Patient" in _is_outcome(answer)


async def test_a_body_over_the_limit_is_413_whether_it_says_its_length_or_not(
    served: Served,
) -> None:
    large = b'{"resourceType":"Patient","name":[{"family":"' + b"x" * (17 * 1024 * 1024) + b'"}]}'
    before = await served.log_size()
    answer = await served.ask("POST", "/Patient", large)
    assert answer.status_code == 413
    assert "bytes" in _is_outcome(answer)

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(large), 1 << 20):
            yield large[at : at + (1 << 20)]

    answer = await served.client.post("/fhir/Patient", content=chunks())
    assert answer.status_code == 413
    bundle = b'{"resourceType":"Bundle","type":"batch","x":"' + b"x" * (21 * 1024 * 1024) + b'"}'
    assert (await served.ask("POST", "", bundle)).status_code == 413
    assert await served.log_size() == before + 4


async def test_a_consent_that_cannot_be_interpreted_closes_the_patient(served: Served) -> None:
    await served.ask("PUT", "/Patient/u", b'{"resourceType":"Patient","id":"u"}')
    odd = {
        "resourceType": "Consent", "id": "odd", "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"text": "x"}], "policyRule": {"text": "x"}, "patient": {"reference": "Patient/u"},
        "modifierExtension": [{"url": "urn:x", "valueBoolean": True}],
    }  # fmt: skip
    stored = await served.ask("PUT", "/Consent/odd", json.dumps(odd).encode())
    assert stored.status_code in (201, 422)
    expected = 404 if stored.status_code == 201 else 200
    assert (await served.ask("GET", "/Patient/u")).status_code == expected


async def test_a_head_is_a_get_without_its_body(served: Served) -> None:
    await served.ask("PUT", "/Patient/h", b'{"resourceType":"Patient","id":"h"}')
    answer = await served.ask("HEAD", "/Patient/h")
    assert answer.status_code == 200
    assert answer.content == b""
    assert answer.headers["etag"] == 'W/"1"'
    assert (await served.ask("HEAD", "/Patient/never")).status_code == 404


@pytest.mark.parametrize(
    "url",
    [
        "/metadata", "/Patient", "/Patient?_id=h", "/Patient/h/_history", "/Patient/h/_history/1", "/Patient/_history",
        "/_history?_count=1&_since=2100-01-01",
    ],
)  # fmt: skip
async def test_every_get_can_be_a_head(served: Served, url: str) -> None:
    await served.ask("PUT", "/Patient/h", b'{"resourceType":"Patient","id":"h"}')
    whole, head = await served.ask("GET", url), await served.ask("HEAD", url)
    assert (head.status_code, head.content) == (whole.status_code, b"") == (200, b"")
    assert abs(int(head.headers["content-length"]) - len(whole.content)) < 200


@pytest.mark.parametrize(
    ("method", "url", "allow"),
    [
        ("PUT", "/Patient", "GET, HEAD, POST"), ("POST", "/Patient/1", "DELETE, GET, HEAD, PATCH, PUT"),
        ("PATCH", "/AuditEvent/1", "GET, HEAD"), ("DELETE", "/AuditEvent?_id=1", "GET, HEAD, POST"),
        ("PUT", "/metadata", "GET, HEAD"),
        ("POST", "/Patient/_history", "GET, HEAD"), ("DELETE", "/_history", "GET, HEAD"),
        ("PATCH", "/Patient/1/_history/1", "GET, HEAD"),
        ("GET", "/Patient/_search", "POST"),
    ],
)  # fmt: skip
async def test_a_405_says_what_is_allowed(
    served: Served, method: str, url: str, allow: str
) -> None:
    answer = await served.ask(method, url, b"{}")
    assert answer.status_code == 405
    assert answer.headers["allow"] == allow
    _is_outcome(answer)


async def test_the_statement_says_what_the_router_does(served: Served) -> None:
    statement = (await served.ask("GET", "/metadata")).json()
    told = {r["type"]: r for r in statement["rest"][0]["resource"]}
    codes = {i["code"] for i in told["Patient"]["interaction"]}
    assert codes == {
        "read", "vread", "create", "update", "patch", "delete", "search-type", "history-type", "history-instance",
    }  # fmt: skip
    assert {i["code"] for i in told["AuditEvent"]["interaction"]} == codes - {
        "update",
        "patch",
        "delete",
    }
    patient = told["Patient"]
    assert (patient["conditionalRead"], patient["conditionalDelete"]) == ("full-support", "single")
    assert (
        patient["conditionalCreate"]
        is patient["conditionalUpdate"]
        is patient["updateCreate"]
        is True
    )
    assert told["AuditEvent"]["conditionalDelete"] == "not-supported"
    assert {"transaction", "batch", "history-system"} <= {
        i["code"] for i in statement["rest"][0]["interaction"]
    }
    assert "application/json-patch+json" in statement["patchFormat"]


async def test_a_read_says_version_and_time_and_can_be_conditional(served: Served) -> None:
    made = await served.ask("POST", "/Patient", GOOD)
    assert made.status_code == 201
    target = made.headers["location"].partition("/fhir")[2].partition("/_history")[0]
    answer = await served.ask("GET", target)
    assert answer.headers["etag"] == 'W/"1"'
    assert answer.headers["last-modified"].endswith("GMT")
    assert answer.headers["cache-control"] == "no-store"
    unchanged = await served.ask("GET", target, if_none_match='W/"1"')
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert (await served.ask("GET", f"{target}/_history/1")).status_code == 200


@pytest.mark.parametrize(
    ("wanted", "empty"), [("minimal", True), ("representation", False), ("OperationOutcome", False)]
)
async def test_prefer_return_is_heeded(served: Served, wanted: str, empty: bool) -> None:
    answer = await served.ask("POST", "/Patient", GOOD, prefer=f"return={wanted}")
    assert answer.status_code == 201
    assert (answer.content == b"") == empty
    if wanted == "OperationOutcome":
        assert answer.json()["resourceType"] == "OperationOutcome"


async def test_both_forms_of_the_base_and_of_a_search_are_served(served: Served) -> None:
    batch = b'{"resourceType":"Bundle","type":"batch"}'
    for url in ("", "/"):
        assert (await served.ask("POST", url, batch)).status_code == 200
    form = "application/x-www-form-urlencoded"
    answer = await served.ask("POST", "/Patient/_search", b"_id=e&_count=5", content_type=form)
    assert answer.status_code == 200
    assert (
        await served.ask("POST", "/Patient/_search", b"{}", content_type=FHIR)
    ).status_code == 415
    assert (await served.ask("GET", "/Patient", accept="application/json")).status_code == 200
    assert (
        await served.ask("GET", "/Patient?_format=application/fhir+json", accept="text/xml")
    ).status_code == 200
    assert (await served.ask("GET", "/Patient?_format=ttl")).status_code == 406


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (b"", ()),
        (b"name=M%C3%BCller&name=", (("name", "Müller"), ("name", ""))),
        ("name=Müller".encode(), (("name", "Müller"),)),
        (b"name=M\xfcller", (("name", "M\ufffdller"),)),
        (b"name=M%FCller", (("name", "M\ufffdller"),)),
        (b"a=1?b=2/#c", (("a", "1?b=2/#c"),)),
    ],
)
async def test_a_query_is_read_as_utf_8_escaped_or_not(
    sent: bytes, read: tuple[tuple[str, str], ...]
) -> None:
    assert routes._query(sent) == read


async def test_what_a_client_needs_first_needs_no_token(served: Served) -> None:
    served.client.headers.pop("authorization")
    statement = await served.ask("GET", "/metadata")
    assert statement.json()["fhirVersion"] == "4.0.1"
    for url in (
        "/fhir/.well-known/smart-configuration",
        "/.well-known/smart-configuration",
        "/health",
    ):
        assert (await served.client.get(url)).status_code == 200
    assert (await served.ask("GET", "/metadata", origin="https://app.example.org")).headers[
        "access-control-allow-origin"
    ] == "*"


async def test_the_statement_is_valid_r4_and_names_every_type(served: Served) -> None:
    statement = (await served.ask("GET", "/metadata")).json()
    assert r4_validator().check(statement) == ()
    assert {r["type"] for r in statement["rest"][0]["resource"]} == r4().resource_types


@pytest.mark.parametrize("given", ["abc-1", "x" * 64])
async def test_a_plain_request_id_comes_back_and_another_does_not(
    served: Served, given: str
) -> None:
    answer = await served.ask("GET", "/Patient/x", x_request_id=given)
    assert answer.headers["x-request-id"] == given
    for odd in ("x" * 65, "a b", "a;b", "<script>", ""):
        answer = await served.ask("GET", "/Patient/x", x_request_id=odd)
        assert answer.headers["x-request-id"] != odd


async def test_a_start_without_its_key_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    await close_house(await open_house(settings))
    (settings.data / "consentry.key").unlink()
    with pytest.raises(WrongKeyError, match="put it back"):
        await open_house(settings)
    assert not (settings.data / "consentry.key").exists()
