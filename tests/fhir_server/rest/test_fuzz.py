"""Whatever is sent, the server never fails: no 500, and what is refused is told as an OperationOutcome.

Requests are put together from what the standard has (types, parameters, modifiers, operations, headers) and what it has
not; bodies are real resources with something broken in them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profiles.definitions import r4
from profiles.xml_writing import write_xml

from ..shared_data import r4_examples
from .served import FHIR, Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

R4 = r4()
TYPES = [
    "Patient",
    "Observation",
    "Encounter",
    "List",
    "Location",
    "Group",
    "Binary",
    "Bundle",
    "Parameters",
    "ValueSet",
    "AuditEvent",
    "Consent",
    "SearchParameter",
    "Basic",
]
CODES = sorted({code for t in TYPES for code in R4.parameters[t]})
CONTROLS = [
    "_sort",
    "_count",
    "_include",
    "_revinclude",
    "_summary",
    "_elements",
    "_total",
    "_type",
    "_format",
    "_pretty",
    "_filter",
    "_text",
    "_content",
    "_list",
    "_has",
    "_contained",
    "_containedType",
    "_since",
    "_at",
    "_cursor",
    "_lastUpdated",
    "_id",
    "_security",
    "mode",
    "start",
    "end",
]
MODIFIERS = [
    "",
    ":exact",
    ":contains",
    ":text",
    ":not",
    ":missing",
    ":in",
    ":not-in",
    ":above",
    ":below",
    ":of-type",
    ":identifier",
    ":Patient",
    ":iterate",
    ":nonsense",
    ":",
    ":Patient.name",
    ".name",
    ".subject.name",
    ":Observation:patient:code",
]
ODD = [
    "",
    "|",
    "||",
    "$",
    "\\",
    ",",
    "a,b",
    "a|b",
    "a|b|c",
    "1",
    "-1",
    "1e9",
    "1e999999",
    "gt5",
    "ne",
    "2020",
    "2020-13",
    "ap2020-01-01T00:00:00Z",
    "0000",
    "9999-12-31",
    "true",
    "x" * 500,
    "ü\u0000",
    "%",
    "*",
    "Patient:*",
    "Observation:subject:Patient",
    'name eq "x"',
    "not (a eq 1)",
    "(" * 50,
    "1.5|2.5|3|km",
    "91|181",
    "NaN",
    "-name,birthdate",
    "Patient/1",
    "urn:uuid:x",
    "http://x/y|1",
    "\ud800",
]
NAMES = st.sampled_from(CODES + CONTROLS) | st.text(max_size=6)
VALUES = st.sampled_from(ODD) | st.text(max_size=12)
IDS = st.sampled_from(
    [
        "1",
        "a",
        "metadata",
        "_history",
        "_search",
        "$everything",
        "$validate",
        "$meta",
        "$match",
        "$lastn",
        "$x",
        "..",
        "x" * 64,
        "*",
    ]
) | st.text(max_size=5)
QUERY = st.lists(
    st.tuples(st.builds(str.__add__, NAMES, st.sampled_from(MODIFIERS)), VALUES), max_size=4
)
PATH = st.lists(st.sampled_from(TYPES) | IDS, max_size=4)
METHODS = st.sampled_from(["GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "accept": st.sampled_from(["", "*/*", "application/fhir+xml", "text/turtle", ";q=x", "a/b;q=2,json"]),
        "content-type": st.sampled_from(["", FHIR, "application/json",
            "application/fhir+xml", "application/xml-patch+xml", "application/json-patch+json",
            "application/merge-patch+json",
            "application/x-www-form-urlencoded", "text/plain", ";"]),
        "if-match": st.sampled_from(['W/"1"', "1", "*", '"x"', ""]),
        "if-none-match": st.sampled_from(["*", 'W/"1", W/"2"', "1", ","]),
        "if-none-exist": st.sampled_from(["identifier=a|b", "", "?", "name:exact=x&_sort=y", "_id"]),
        "if-modified-since": st.sampled_from(["Sat, 21 Nov 2026 00:00:00 GMT", "yesterday", "-1"]),
        "prefer": st.sampled_from(["return=minimal", "return=x", "handling=strict", "respond-async", ";;=,"]),
        "x-purpose-of-use": st.sampled_from(["TREAT", "BTG", "x", ""]),
    },
)  # fmt: skip
EXAMPLES = [json.loads(line) for line in list(r4_examples())[::6]]
JUNK = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1.5,
        "",
        "x",
        "2020-02-30",
        "urn:uuid:q",
        [],
        {},
        [None],
        {"extension": []},
        "\u0000",
        10**30,
    ]
)


def _broken(value: Any, draw: Callable[[st.SearchStrategy[Any]], Any]) -> Any:
    """``value`` with one node somewhere in it replaced, taken out, doubled or renamed."""
    node, steps = value, draw(st.integers(1, 5))
    for _ in range(steps):
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            break
        key = draw(st.sampled_from(keys))
        child = node[key]
        if isinstance(child, dict | list) and child and draw(st.booleans()):
            node = child
            continue
        how = draw(st.integers(0, 3))
        if how == 0:
            node[key] = json.loads(json.dumps(draw(JUNK)))  # a new one: it may be changed
        elif how == 1:
            del node[key]
        elif how == 2 and isinstance(node, dict):
            node[f"_{key}" if draw(st.booleans()) else "nonsense"] = child
        elif isinstance(node, list):
            node.append(child)
    return value


@st.composite
def bodies(draw: Callable[[st.SearchStrategy[Any]], Any]) -> bytes:
    """A resource, whole or broken, as JSON or XML, whole or cut off; or no resource at all."""
    if draw(st.integers(0, 5)) == 0:
        return bytes(draw(st.binary(max_size=30)))
    whole = json.loads(json.dumps(draw(st.sampled_from(EXAMPLES))))
    if draw(st.integers(0, 3)) == 0:
        return write_xml(whole, R4).encode()[: draw(st.integers(0, 3000))]
    bundle = {"resourceType": "Bundle", "type": draw(st.sampled_from(["batch", "transaction", "x"])), "entry": [
        {"resource": whole, "request": {"method": draw(METHODS), "url": "/".join(draw(PATH))}}
    ]}  # fmt: skip
    value = _broken(bundle if draw(st.booleans()) else whole, draw)
    text = json.dumps(value, ensure_ascii=draw(st.booleans())).encode("utf-8", "replace")
    return text[: draw(st.sampled_from([len(text), len(text), len(text) // 2]))]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(method=METHODS, path=PATH, query=QUERY, headers=HEADERS, body=bodies())
async def test_no_request_makes_the_server_fail(
    served: Served,
    method: str,
    path: list[str],
    query: list[tuple[str, str]],
    headers: dict[str, str],
    body: bytes,
) -> None:
    escaped = "/".join(quote(part, safe="$", errors="replace") for part in path if part.strip("."))
    pairs = "&".join(f"{quote(n, errors='replace')}={quote(v, errors='replace')}" for n, v in query)
    url = f"/{escaped}?{pairs}" if pairs else f"/{escaped}"
    sent = body if method not in ("GET", "HEAD", "DELETE") else b""
    answer = await served.client.request(method, f"/fhir{url}", content=sent, headers=headers)
    assert answer.status_code < 500 or answer.status_code in (501, 503), (
        method,
        url,
        headers,
        body,
        answer.text,
    )
    if answer.status_code >= 400 and method not in ("HEAD", "OPTIONS"):
        assert b"OperationOutcome" in answer.content, (method, url, answer.text)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), whole=st.sampled_from(EXAMPLES), twice=st.booleans())
async def test_no_resource_makes_the_server_fail(
    served: Served, data: st.DataObject, whole: Any, twice: bool
) -> None:
    """Near to valid ones reach further than random requests: into the index, the consent engine, the audit."""
    broken = _broken(json.loads(json.dumps(whole)), data.draw)
    if twice:
        broken = _broken(broken, data.draw)
    body = json.dumps(broken).encode()
    answer = await served.client.post(f"/fhir/{whole['resourceType']}", content=body)
    assert answer.status_code in (201, 200, 400, 404, 405, 409, 412, 413, 415, 422), (
        body,
        answer.text,
    )
    if answer.status_code == 201 and "location" in answer.headers:
        place = answer.headers["location"].partition("/fhir")[2]
        for form in ("", "?_format=xml", "?_summary=true"):
            read = await served.client.get(f"/fhir{place}{form}")
            assert read.status_code in (200, 404), (body, form, read.text)
