"""Entries of a batch or transaction as requests of their own, and their answers as one Bundle (R4 http.html, 3.1.0.11)."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl

from fhir_server.errors import BadRequestError
from fhir_server.forms import InScope, Json, Opened, Received, Recorded
from fhir_server.interactions.outcome import outcome
from fhir_server.interactions.stages import document
from fhir_server.media import JSON
from fhir_server.pipeline.accompanying import NOTICE_HEADER, notice
from fhir_server.resource_text import ResourceText, entry_resources

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"})  # R4 HTTPVerb
_CONDITIONS = {
    "ifNoneExist": "if-none-exist",
    "ifMatch": "if-match",
    "ifNoneMatch": "if-none-match",
    "ifModifiedSince": "if-modified-since",
}
_NOT_OF_ENTRIES = frozenset({*_CONDITIONS.values(), "range", "if-range"})
_REASONS = {
    200: "OK",
    201: "Created",
    204: "No Content",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
}


_OUTCOME = (
    b'{"resourceType":"OperationOutcome","issue"'  # ours; a stored one has its id behind the type
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as asked.

    Attributes:
        full_url: How other entries refer to it, or empty.
        path: Below the base.
        query: What follows ``?``, or empty.
        conditions: ``if-none-exist``, ``if-match``, ``if-none-match`` as headers.
    """

    number: int
    full_url: str
    method: str
    path: str
    query: str
    conditions: dict[str, str]
    content: ResourceText | None

    @property
    def type_(self) -> str:
        """The resource type that the url begins with."""
        return self.path.partition("/")[0]


def entries_of(bundle: ResourceText, base: str) -> list[Entry]:
    """The entries of a Bundle, taken out of what was read of it: a large one fills its text's size ten times.

    Raises:
        BadRequestError: One has no request, or one that can not be understood.
    """
    asked = bundle.value.get("entry", [])
    if not isinstance(asked, list) or not all(isinstance(entry, dict) for entry in asked):
        raise BadRequestError("the entries must be an array of objects", "Bundle.entry")
    entries = [
        _entry(number, entry, content, base)
        for number, (entry, content) in enumerate(zip(asked, entry_resources(bundle), strict=True))
    ]
    asked.clear()
    return entries


def _entry(number: int, entry: Json, content: ResourceText | None, base: str) -> Entry:
    where = f"Bundle.entry[{number}].request"
    request = entry.get("request")
    if not isinstance(request, dict) or not isinstance(request.get("url"), str):
        raise BadRequestError("an entry needs a request with method and url", where)
    if request.get("method") not in _METHODS:
        raise BadRequestError(
            f"the method of an entry must be one of {', '.join(sorted(_METHODS))}",
            f"{where}.method",
        )
    conditions = {
        header: str(request[name]) for name, header in _CONDITIONS.items() if name in request
    }
    path, _, query = request["url"].removeprefix(base).partition("?")
    if request["method"] == "POST" and not path.strip("/"):
        raise BadRequestError("a Bundle in a Bundle is not performed", f"{where}.url")
    full_url = entry.get("fullUrl")
    return Entry(
        number,
        full_url if isinstance(full_url, str) else "",
        request["method"],
        path.strip("/"),
        query,
        conditions,
        content,
    )


def received_for(entry: Entry, received: Received) -> Received:
    """An entry as a request, its content aside; authorization, purpose and trace are those of the Bundle's."""
    headers = {k: v for k, v in received.headers.items() if k not in _NOT_OF_ENTRIES}
    prefer = headers.get("prefer", "")
    if "return=" not in prefer:  # what was sent is not sent back, unless asked for
        headers["prefer"] = f"{prefer},return=minimal"
    pairs = parse_qsl(entry.query, keep_blank_values=True)
    return replace(
        received,
        method="GET" if entry.method == "HEAD" else entry.method,
        target=entry.path,
        query=tuple(p for p in pairs if p[0] != "_format"),  # what stands in a Bundle is a resource
        headers={**headers, **entry.conditions, "content-type": JSON, "accept": JSON},
        body=b"",
    )


def response(
    in_scope: InScope, type_: str, entries: Sequence[Entry], answers: Sequence[Recorded]
) -> Opened:
    """A Bundle with the answer of each entry, all of them on record already."""
    body = b'{"resourceType":"Bundle","type":"%b","entry":[%b]}' % (
        type_.encode(),
        b",".join(_answer(e, answer) for e, answer in zip(entries, answers, strict=True)),
    )
    return document(in_scope, body)


def _answer(entry: Entry, answer: Recorded) -> bytes:
    headers = dict(answer.headers)
    told = {"status": f"{answer.status} {_REASONS.get(answer.status, '')}".strip()}
    for header, name in (("Location", "location"), ("ETag", "etag")):
        if header in headers:
            told[name] = headers[header]
    if "Last-Modified" in headers:
        told["lastModified"] = _instant(headers["Last-Modified"])
    text = json.dumps(told, separators=(",", ":")).encode()
    if not answer.body or entry.method == "HEAD":
        return b'{"response":%b}' % text
    if answer.status >= 400 or answer.body.startswith(_OUTCOME):
        return b'{"response":%b,"outcome":%b}}' % (text[:-1], answer.body)
    if NOTICE_HEADER in headers:
        consents = re.findall(r"<([^>]+)>", headers.get("Link", ""))
        along = outcome([notice(consents)])
        return b'{"resource":%b,"response":%b,"outcome":%b}}' % (answer.body, text[:-1], along)
    return b'{"resource":%b,"response":%b}' % (answer.body, text)


def _instant(http_date: str) -> str:
    return f"{parsedate_to_datetime(http_date):%Y-%m-%dT%H:%M:%SZ}"
