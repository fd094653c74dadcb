"""The answer: what is on record goes out, and nothing else.  ``respond`` accepts only a ``Recorded``."""

from starlette.responses import Response

from fhir_server.forms import Recorded

_FHIR_JSON = "application/fhir+json; charset=utf-8"
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
_FULL = (
    b'{"resourceType":"OperationOutcome","issue":[{"severity":"fatal","code":"no-store",'
    b'"diagnostics":"the disk is full: nothing was kept, and nothing can be recorded or answered until there is space"}]}'
)


def respond(recorded: Recorded, method: str) -> Response:
    """The HTTP answer to a recorded request."""
    headers = {**_HEADERS, **dict(recorded.headers)}
    body = b"" if method == "HEAD" else recorded.body
    media = _FHIR_JSON if recorded.body else None
    return Response(body, recorded.status, headers, media)


def without_record() -> Response:
    """What is said when not even a refusal can be recorded: a fixed text that tells nothing of anyone."""
    return Response(_FULL, 507, _HEADERS, _FHIR_JSON)
