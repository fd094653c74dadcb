"""FHIR over HTTP: a request becomes a ``Received``, a ``Recorded`` becomes the answer.  Nothing is decided here."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime
from time import perf_counter
from urllib.parse import parse_qsl

from fastapi import Request, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from fhir_server.errors import BadRequestError, FhirError, StoreFullError, StoreLostError
from fhir_server.forms import Received, Recorded
from fhir_server.measures import Measures
from fhir_server.media import FORM, JSON_TYPES, XML_TYPES, form_of, media_type
from fhir_server.memory import GivingBack
from fhir_server.pipeline.run import Pipeline
from fhir_server.rest.bodies import body_parts, read_body
from fhir_server.rest.headers import headers_of, trace_of
from fhir_server.rest.respond import respond, without_record
from fhir_server.tracing import tell

_AT_ONCE = 1024 * 1024  # bytes of a Binary that are kept inside the resource
_SILENCE = 60.0  # seconds
_FHIR = re.compile(r"/fhir(?:/(?!\.well-known/)|$)")


class FhirRoutes:
    """The routes below the FHIR base."""

    def __init__(
        self,
        pipeline: Callable[[], Pipeline],
        clock: Callable[[], datetime],
        max_body_bytes: int,
        max_bundle_bytes: int,
        max_binary_bytes: int,
        measures: Measures,
    ) -> None:
        self._pipeline = pipeline
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._max_bundle_bytes = max_bundle_bytes
        self._max_binary_bytes = max_binary_bytes
        self._measures = measures
        self._giving_back = GivingBack()
        self.routes = [Route("/fhir", self), Route("/fhir/{target:path}", self)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as an ASGI application."""
        response = await self.answer(Request(scope, receive))
        await response(scope, receive, send)

    def in_front_of(self, app: ASGIApp) -> ASGIApp:
        """``app``, with the FHIR requests of programs taken out in front of it.

        They carry no Origin, so they need no CORS, and they are all answered here: the framework's layers would cost
        more than finding the record.
        """

        async def front(scope: Scope, receive: Receive, send: Send) -> None:
            direct = scope["type"] == "http" and _FHIR.match(scope["path"])
            if direct and all(name != b"origin" for name, _ in scope["headers"]):
                await self(scope, receive, send)
            else:
                await app(scope, receive, send)

        return front

    async def answer(self, request: Request) -> Response:
        """Answer any FHIR request."""
        target = request.scope["path"].removeprefix("/fhir").strip("/")
        received = self._received(request, target)
        started, pipeline = perf_counter(), self._pipeline()
        form = form_of(received.headers, received.query)
        with pipeline.tracing.request(received.headers) as span:
            try:
                recorded, parts = await self._answered(request, received, pipeline), None
                if recorded.stream is not None and request.method != "HEAD":
                    recorded, parts = await pipeline.pour(recorded)
                response, code = respond(recorded, request.method, form, parts), recorded.code
            except (StoreFullError, StoreLostError) as error:
                response, code = without_record(full=isinstance(error, StoreFullError)), ""
            tell(span, code, response.status_code)
        self._measures.answered(code, response.status_code, perf_counter() - started)
        return response

    async def _answered(self, request: Request, received: Received, pipeline: Pipeline) -> Recorded:
        if _is_large(received):
            return await pipeline.answer(received, parts=self._parts(request))
        limit = self._max_body_bytes if received.target else self._max_bundle_bytes
        try:
            body = await read_body(request, limit)
        except FhirError as error:
            return await pipeline.refuse_unread(received, error)
        self._giving_back.after(len(body))
        return await pipeline.answer(replace(received, body=body) if body else received)

    async def _parts(self, request: Request) -> AsyncIterator[tuple[bytes, int]]:
        """A large document as it comes in; a caller that sends nothing for a minute has gone away."""
        parts = body_parts(request, self._max_binary_bytes)
        while True:
            try:
                async with asyncio.timeout(_SILENCE):
                    part = await anext(parts, None)
            except TimeoutError as error:
                raise BadRequestError("nothing of the body came for a minute") from error
            if part is None:
                return
            yield part, int(self._clock().timestamp() * 1000)

    def _received(self, request: Request, target: str) -> Received:
        now = self._clock()
        headers = headers_of(request)
        if request.method == "HEAD":
            headers.pop("range", None)  # of GET only (RFC 9110, 14.2)
        return Received(
            method="GET" if request.method == "HEAD" else request.method,
            target=target,
            query=_query(request.scope["query_string"]),
            headers=headers,
            body=b"",
            at=int(now.timestamp() * 1000),
            now=now,
            request_id=trace_of(headers),
            address=request.client.host if request.client else "",
        )


def _query(sent: bytes) -> tuple[tuple[str, str], ...]:
    """Its parameters; what is no UTF-8 stands for no character, escaped or not."""
    if not sent:
        return ()
    return tuple(parse_qsl(sent.decode(errors="replace"), keep_blank_values=True))


def _is_large(received: Received) -> bool:
    """Whether the body is what a Binary is to hold, and so long (or of a length so unknown) that it is not read at once."""
    type_, _, id_ = received.target.partition("/")
    if type_ != "Binary" or received.method not in ("POST", "PUT") or "/" in id_:
        return False
    kind = media_type(received.headers.get("content-type", ""))
    if kind in JSON_TYPES | XML_TYPES | {FORM} or id_.startswith(("_", "$")):
        return False
    length = received.headers.get("content-length", "")
    packed = "content-encoding" in received.headers
    return packed or not length.isdigit() or int(length) > _AT_ONCE
