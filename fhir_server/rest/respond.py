"""The answer: what is on record goes out, and nothing else.  ``respond`` accepts only a ``Recorded``."""

from collections.abc import AsyncIterator
from functools import lru_cache

from starlette.responses import Response, StreamingResponse

from fhir_server.forms import Recorded
from fhir_server.media import JSON, XML, Form
from profiles.definitions import r4
from profiles.pretty import pretty
from profiles.strict_json import read
from profiles.xml_writing import pretty_xml, write_xml

_FHIR_JSON = f"{JSON}; charset=utf-8"
_FHIR_XML = f"{XML}; charset=utf-8"
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
_FULL = (
    b'{"resourceType":"OperationOutcome","issue":[{"severity":"fatal","code":"no-store",'
    b'"diagnostics":"the disk is full: nothing was kept, and nothing can be recorded or answered until there is space"}]}'
)

_LOST = (
    b'{"resourceType":"OperationOutcome","issue":[{"severity":"fatal","code":"transient",'
    b'"diagnostics":"the database does not answer: nothing can be recorded or answered until it does"}]}'
)


def respond(
    recorded: Recorded, method: str, form: Form, parts: AsyncIterator[bytes] | None = None
) -> Response:
    """The HTTP answer to a recorded request, in the form that was asked for.

    Args:
        parts: The bytes of its stream; not needed for HEAD.
    """
    headers = {**_HEADERS, **dict(recorded.headers)}
    if recorded.stream is not None:
        headers["Content-Length"] = str(recorded.stream.stop - recorded.stream.start)
        if method == "HEAD" or parts is None:
            return Response(b"", recorded.status, headers, headers["Content-Type"])
        return StreamingResponse(parts, recorded.status, headers)
    if not recorded.body:
        return Response(b"", recorded.status, headers)
    if "Content-Type" in headers:  # the content of a Binary, as it is
        body, media = recorded.body, headers["Content-Type"]
    else:
        body, media = _written(recorded.body, form)
    if method == "HEAD":  # what a GET would say, without what it would send (RFC 9110, 9.3.2)
        return Response(b"", recorded.status, {**headers, "Content-Length": str(len(body))}, media)
    return Response(body, recorded.status, headers, media)


def _written(body: bytes, form: Form) -> tuple[bytes, str]:
    """The body with its media type; what is asked for in no form of FHIR is refused in JSON."""
    if form.media_type != XML:
        return (pretty(body.decode()).encode() if form.pretty else body), _FHIR_JSON
    write = _kept_xml if body.startswith(_PUBLIC) else _xml
    return write(body, pretty=form.pretty), _FHIR_XML


def _xml(body: bytes, *, pretty: bool) -> bytes:
    resource = read(body.decode())
    assert isinstance(resource, dict), "an answer is a resource"
    xml = write_xml(resource, r4())
    return (pretty_xml(xml) if pretty else xml).encode()


# what needs no token and tells of nobody is written once: it is large, and anyone may ask for it
_PUBLIC = b'{"resourceType":"CapabilityStatement"'
_kept_xml = lru_cache(8)(_xml)


def without_record(*, full: bool) -> Response:
    """What is said when not even a refusal can be recorded: a fixed text that tells nothing of anyone."""
    return Response(_FULL if full else _LOST, 507 if full else 503, _HEADERS, _FHIR_JSON)
