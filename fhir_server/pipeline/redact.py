"""From opened records to what the caller may have: bodies are composed here and nowhere else.

Bundle totals and links are those of what is released.  Stored bytes go out as they are; only what surrounds them is ours.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256

from fhir_server.errors import Issue
from fhir_server.forms import Opened, Pairs, Record, Released, Stream
from fhir_server.interactions.outcome import outcome
from fhir_server.media import NDJSON
from fhir_server.pipeline.accompanying import accompanying, notices
from fhir_server.pipeline.ranges import wanted
from fhir_server.pipeline.view import Content, View, content_of, parameters_of, view_of
from fhir_server.resource_text import http_date, instant

_GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"
_WRITES = frozenset({"create", "update", "patch"})


def redact(opened: Opened, base: str) -> Released:
    """Compose the answer, with what has to accompany it."""
    released = _composed(opened, base)
    if _is_write(opened) or not (released.body or released.stream):
        return released
    headers = accompanying(released.disclosed, base)
    return replace(released, headers=(*released.headers, *headers)) if headers else released


def _composed(opened: Opened, base: str) -> Released:
    records = opened.records
    match opened.shape:
        case "resource":
            return _resource(opened, base)
        case "empty":
            return _empty(opened, base)
        case "document" if opened.in_scope.asked.interaction.code == "capabilities":
            return _statement(opened)
        case "document":
            body, headers = opened.document, opened.headers
        case "lines":
            body, headers = _lines(opened), (("Content-Type", NDJSON),)
        case _:
            body, headers = _bundle(opened, base), ()
    return Released(opened.in_scope, opened.status, body, headers, records, opened.counted)


def _statement(opened: Opened) -> Released:
    """What the server can do: the same until that changes, so that a client may keep it and ask whether it is good still."""
    received = opened.in_scope.asked.received
    seen = f"{received.headers.get('accept')}|{received.query}".encode() + opened.document
    tag = f'W/"{sha256(seen).hexdigest()[:16]}"'
    headers = (("ETag", tag), ("Cache-Control", "no-cache"), ("Vary", "Accept"))
    known = received.headers.get("if-none-match", "")
    if tag in (one.strip() for one in known.split(",")):
        return Released(opened.in_scope, 304, b"", headers, ())
    return Released(opened.in_scope, opened.status, opened.document, headers, ())


def _empty(opened: Opened, base: str) -> Released:
    """An answer without a body, or with what was done, where a deletion is asked to say so."""
    interaction, status, body = opened.in_scope.asked.interaction, opened.status, b""
    headers: Pairs = ()
    if status == 304:
        headers = _version_headers(opened.records[0], base, located=False)
    elif interaction.prefer.get("return") == "OperationOutcome":
        done = f"{len(opened.records)} deleted" if opened.records else "there was nothing to delete"
        status, body = 200, outcome([Issue("informational", done, severity="information")])
    return Released(opened.in_scope, status, body, headers, opened.records)


def _is_write(opened: Opened) -> bool:
    """Whether the answer says where the resource is: what was written, or what a condition found."""
    return opened.in_scope.asked.interaction.code in _WRITES


def _resource(opened: Opened, base: str) -> Released:
    """A resource, or the content of a Binary."""
    record, asked = opened.records[0], opened.in_scope.asked
    content = content_of(asked.received, asked.interaction, record)
    if content is not None:
        return _content(opened, content, base)
    headers = _version_headers(record, base, located=_is_write(opened))
    return Released(opened.in_scope, opened.status, _single(opened), headers, opened.records)


def _content(opened: Opened, content: Content, base: str) -> Released:
    """All of it, or a part (RFC 9110, 14): never shown in the caller's window as if it were a page of ours.

    Its bytes never change, so the tag of the version is a strong one here.
    """
    record = opened.records[0]
    (_, weak), modified = _version_headers(record, base, located=False)
    tag = weak.removeprefix("W/")
    part = wanted(opened.in_scope.asked.received.headers, content.size, tag)
    start, stop = part or (0, content.size)
    headers: Pairs = (
        ("ETag", tag),
        modified,
        ("Accept-Ranges", "bytes"),
        ("Vary", "Accept"),
        ("Content-Type", content.media_type),
        ("Content-Disposition", "attachment"),
        ("Content-Security-Policy", "sandbox; default-src 'none'"),
    )
    if part:
        headers = (*headers, ("Content-Range", f"bytes {start}-{stop - 1}/{content.size}"))
    status = 206 if part else opened.status
    in_scope, document = opened.in_scope, content.document
    body = content.inline[start:stop]
    if document is None or not content.size:
        return Released(in_scope, status, body, headers, opened.records)
    stream = Stream(in_scope, record.version.row, document, start, stop)
    return Released(in_scope, status, b"", headers, opened.records, stream=stream)


def _view(opened: Opened) -> View:
    asked = opened.in_scope.asked
    if asked.interaction.code in _WRITES:
        return View()
    return view_of(parameters_of(asked.received, asked.interaction))


def _single(opened: Opened) -> bytes:
    interaction = opened.in_scope.asked.interaction
    wanted = interaction.prefer.get("return", "representation")
    if interaction.code in _WRITES and wanted == "minimal":
        return b""
    if interaction.code in _WRITES and wanted == "OperationOutcome":
        done = Issue("informational", "the resource was stored", severity="information")
        return outcome([done, *opened.issues])
    return _view(opened).of(opened.records[0])


def _version_headers(record: Record, base: str, *, located: bool) -> Pairs:
    version = record.version
    headers = (
        ("ETag", f'W/"{version.version}"'),
        ("Last-Modified", http_date(version.at)),
    )
    if not located:
        return headers
    return (*headers, ("Location", f"{base}/{record.reference}/_history/{version.version}"))


def _lines(opened: Opened) -> bytes:
    """A resource a line: ends of lines stand in JSON only where white space may."""
    view = _view(opened)
    one = (view.of(r).replace(b"\n", b" ").replace(b"\r", b" ") for r in opened.records)
    return b"".join(line + b"\n" for line in one)


def _bundle(opened: Opened, base: str) -> bytes:
    head = [f'"resourceType":"Bundle","type":"{opened.shape}"']
    if opened.total is not None:
        head.append(f'"total":{opened.total}')
    links = [{"relation": relation, "url": url} for relation, url in opened.links]
    if links:
        head.append(f'"link":{json.dumps(links)}')
    entries = list(_entries(opened, base))
    if entries:
        return b"{" + ",".join(head).encode() + b',"entry":[' + b",".join(entries) + b"]}"
    return b"{" + ",".join(head).encode() + b"}"


def _entries(opened: Opened, base: str) -> Iterator[bytes]:
    view = _view(opened)
    for record in opened.records:
        full_url = json.dumps(f"{base}/{record.reference}").encode()
        if opened.shape == "history":
            content = b"" if record.version.deleted else view.of(record)
            yield _history_entry(record, content, base)
        else:
            yield b'{"fullUrl":%b,"resource":%b,"search":%b}' % (
                full_url,
                view.of(record),
                _found(record),
            )
    told = opened.issues + (notices(opened.records) if opened.shape == "searchset" else ())
    if told:
        yield b'{"resource":%b,"search":{"mode":"outcome"}}' % outcome(told)


def _found(record: Record) -> bytes:
    """``Bundle.entry.search``."""
    grade = record.grade
    if grade is None:
        return b'{"mode":"%b"}' % record.mode.encode()
    graded = {
        "extension": [{"url": _GRADE, "valueCode": grade.code}],
        "mode": record.mode,
        "score": grade.score / 100,
    }
    return json.dumps(graded, separators=(",", ":")).encode()


def _history_entry(record: Record, content: bytes, base: str) -> bytes:
    reference, version = record.reference, record.version
    method = "DELETE" if version.deleted else "POST" if version.version == 1 else "PUT"
    about = {
        "fullUrl": f"{base}/{reference}",
        "request": {"method": method, "url": version.type_ if method == "POST" else reference},
        "response": {
            "status": "204" if version.deleted else "201" if version.version == 1 else "200",
            "etag": f'W/"{version.version}"',
            "lastModified": instant(version.at),
        },
    }
    text = json.dumps(about, separators=(",", ":")).encode()
    return text if version.deleted else text[:-1] + b',"resource":' + content + b"}"
