"""In which form a resource comes in and goes out: JSON, XML, indented, a part of it, or what a Binary holds."""

from __future__ import annotations

import base64
import time

import httpx2
import pytest

from profiles.definitions import r4
from profiles.strict_json import read
from profiles.xml_reading import read_xml

from .served import FHIR, Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

XML = "application/fhir+xml"
WEIGHT = (
    b'<Observation xmlns="http://hl7.org/fhir"><status value="final"/><code><text value="weight"/></code>'
    b'<valueQuantity><value value="70.10"/></valueQuantity><note><text value="x"/></note></Observation>'
)


async def _created(served: Served, body: bytes, **headers: str) -> str:
    answer = await served.ask("POST", "/Observation", body, **headers)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"]).partition("/_history/")[0].rpartition("/")[2]


def _xml(answer: httpx2.Response) -> dict[str, object]:
    assert answer.headers["content-type"].startswith(XML)
    value = read(read_xml(answer.content, r4()))
    assert isinstance(value, dict)
    return value


async def test_xml_comes_in_and_json_goes_out_with_its_digits(served: Served) -> None:
    id_ = await _created(served, WEIGHT, content_type=XML)
    answer = await served.ask("GET", f"/Observation/{id_}", accept=FHIR)
    assert '"value":70.10' in answer.text


@pytest.mark.parametrize(
    "accept",
    [
        XML,
        "text/xml",
        "application/fhir+json;q=0.5, application/xml",
        "text/turtle, application/fhir+xml",
        "application/fhir+xml; fhirVersion=4.0",
        "application/fhir+json; fhirVersion=3.0, application/fhir+xml; fhirVersion=4.0.1",
    ],
)
async def test_xml_goes_out_where_it_is_accepted(served: Served, accept: str) -> None:
    id_ = await _created(served, WEIGHT, content_type=XML)
    answer = await served.ask("GET", f"/Observation/{id_}", accept=accept)
    assert _xml(answer)["id"] == id_
    assert answer.headers["etag"] == 'W/"1"'


async def test_format_counts_more_than_accept(served: Served) -> None:
    answer = await served.ask("GET", "/Observation?_format=xml&_count=1", accept=FHIR)
    assert _xml(answer)["resourceType"] == "Bundle"
    answer = await served.ask("GET", "/metadata?_format=json", accept=XML)
    assert answer.json()["resourceType"] == "CapabilityStatement"


async def test_a_refusal_is_told_in_the_form_that_was_asked_for(served: Served) -> None:
    answer = await served.ask("GET", "/Observation/none", accept=XML)
    assert answer.status_code == 404
    assert _xml(answer)["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<Observation/>", b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><Patient xmlns="http://hl7.org/fhir"/>',
        b'<Patient xmlns="http://hl7.org/fhir"><extension url="a">' + b'<extension url="b">' * 100_000,
        b"{}", WEIGHT[:-3],
    ],
)  # fmt: skip
async def test_xml_that_is_not_fhir_is_refused_on_record(served: Served, body: bytes) -> None:
    before = await served.log_size()
    answer = await served.ask("POST", "/Observation", body, content_type=XML)
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["diagnostics"]
    assert await served.log_size() == before + 2


async def test_xml_is_validated_like_json(served: Served) -> None:
    body = WEIGHT.replace(b'<status value="final"/>', b'<status value="done"/>')
    answer = await served.ask("POST", "/Observation", body, content_type=XML)
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "wanted",
    [
        "text/turtle",
        "image/png",
        "application/fhir+turtle",
        "application/fhir+json; fhirVersion=3.0",
        'application/fhir+xml;q=1;FHIRVERSION="5.0"',
    ],
)
async def test_what_is_not_spoken_is_refused(served: Served, wanted: str) -> None:
    assert (await served.ask("GET", "/Observation?_count=1", accept=wanted)).status_code == 406


async def test_pretty_answers_have_lines(served: Served) -> None:
    id_ = await _created(served, WEIGHT, content_type=XML)
    plain = await served.ask("GET", f"/Observation/{id_}")
    pretty = await served.ask("GET", f"/Observation/{id_}?_pretty=true")
    assert pretty.json() == plain.json()
    assert len(pretty.text.splitlines()) > 10 > len(plain.text.splitlines())
    assert "70.10" in pretty.text
    xml = await served.ask("GET", f"/Observation/{id_}?_pretty=true&_format=xml")
    assert len(xml.text.splitlines()) > 10
    assert _xml(xml)["id"] == id_


async def test_a_part_of_a_resource_says_that_it_is_one(served: Served) -> None:
    id_ = await _created(served, WEIGHT, content_type=XML)
    part = (await served.ask("GET", f"/Observation/{id_}?_elements=note")).json()
    assert set(part) == {
        "resourceType",
        "id",
        "meta",
        "status",
        "code",
        "note",
    }  # two of them are mandatory
    assert part["meta"]["tag"][0]["code"] == "SUBSETTED"
    short = (await served.ask("GET", f"/Observation/{id_}?_summary=true")).json()
    assert "note" not in short
    assert "valueQuantity" in short


async def test_matches_of_a_search_are_cut_as_well(served: Served) -> None:
    id_ = await _created(served, WEIGHT, content_type=XML)
    found = (await served.ask("GET", f"/Observation?_id={id_}&_elements=status")).json()
    assert set(found["entry"][0]["resource"]) == {"resourceType", "id", "meta", "status", "code"}
    assert "_elements=status" in found["link"][0]["url"]


@pytest.mark.parametrize("query", ["_summary=yes", "_elements=a;b", "_elements=,"])
async def test_a_part_that_does_not_exist_is_refused(served: Served, query: str) -> None:
    assert (await served.ask("GET", f"/Observation/1?{query}")).status_code == 400
    assert (await served.ask("GET", f"/Observation?{query}")).status_code == 400


async def test_a_binary_comes_in_and_goes_out_as_it_is(served: Served) -> None:
    content = b"<script>alert(1)</script>\x00\xff"
    made = await served.ask(
        "POST", "/Binary?_filename=x.html", content, content_type="text/html; charset=utf-8"
    )
    assert made.status_code == 201
    assert base64.b64decode(made.json()["data"]) == content
    url = f"/Binary/{made.json()['id']}"
    raw = await served.ask("GET", url, accept="image/png, text/plain")
    assert raw.content == content
    assert raw.headers["content-type"] == "text/html; charset=utf-8"
    assert raw.headers["content-disposition"] == "attachment"
    assert "sandbox" in raw.headers["content-security-policy"]
    assert (await served.ask("GET", url, accept=FHIR)).json()["resourceType"] == "Binary"
    changed = await served.ask("PUT", url, b"new", content_type="text/plain")
    assert changed.status_code == 200
    assert (await served.ask("GET", url, accept="text/plain")).content == b"new"


async def test_a_media_type_can_not_smuggle_a_header(served: Served) -> None:
    made = await served.ask(
        "POST",
        "/Binary",
        b'{"resourceType":"Binary","contentType":"text/html\\r\\nSet-Cookie: a=b","data":"YQ=="}',
    )
    if made.status_code == 201:
        raw = await served.ask("GET", f"/Binary/{made.json()['id']}", accept="text/plain")
        assert raw.headers["content-type"] == "application/octet-stream"
        assert "set-cookie" not in raw.headers


async def test_a_binary_that_is_missing_is_told_as_an_outcome(served: Served) -> None:
    answer = await served.ask("GET", "/Binary/none", accept="image/png")
    assert answer.status_code == 404
    assert answer.json()["resourceType"] == "OperationOutcome"


async def test_the_capability_statement_is_written_as_xml_once(served: Served) -> None:
    """It is large and needs no token: whoever asks for it again and again must not keep the server busy."""
    first = await served.ask("GET", "/metadata", accept=XML)
    started = time.monotonic()
    again = [await served.ask("GET", "/metadata", accept=XML) for _ in range(20)]
    assert time.monotonic() - started < 1
    assert {answer.content for answer in again} == {first.content}
    assert _xml(first)["resourceType"] == "CapabilityStatement"
