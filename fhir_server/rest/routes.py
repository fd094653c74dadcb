"""FHIR over HTTP: a request becomes a ``Received``, a ``Recorded`` becomes the answer.  Nothing is decided here."""

import re
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from urllib.parse import parse_qsl

from fastapi import Request, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from fhir_server.errors import FhirError, StoreFullError, StoreLostError
from fhir_server.forms import Received, Recorded
from fhir_server.media import form_of
from fhir_server.pipeline.run import Pipeline
from fhir_server.rest.bodies import read_body
from fhir_server.rest.respond import respond, without_record

_TRACE_LENGTH = 64
_FHIR = re.compile(r"/fhir(?:/(?!\.well-known/)|$)")


class FhirRoutes:
    """The routes below the FHIR base."""

    def __init__(
        self,
        pipeline: Callable[[], Pipeline],
        clock: Callable[[], datetime],
        max_body_bytes: int,
        max_bundle_bytes: int,
    ) -> None:
        self._pipeline = pipeline
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._max_bundle_bytes = max_bundle_bytes
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
        pipeline = self._pipeline()
        form = form_of(received.headers, received.query)
        try:
            return respond(await self._answered(request, received, pipeline), request.method, form)
        except (StoreFullError, StoreLostError) as error:
            return without_record(full=isinstance(error, StoreFullError))

    async def _answered(self, request: Request, received: Received, pipeline: Pipeline) -> Recorded:
        limit = self._max_body_bytes if received.target else self._max_bundle_bytes
        try:
            body = await read_body(request, limit)
        except FhirError as error:
            return await pipeline.refuse_unread(received, error)
        return await pipeline.answer(replace(received, body=body) if body else received)

    def _received(self, request: Request, target: str) -> Received:
        now = self._clock()
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers.raw
        }
        return Received(
            method="GET" if request.method == "HEAD" else request.method,
            target=target,
            query=tuple(parse_qsl(request.url.query, keep_blank_values=True)),
            headers=headers,
            body=b"",
            at=int(now.timestamp() * 1000),
            now=now,
            request_id=_trace(headers.get("x-request-id", "")),
            address=request.client.host if request.client else "",
        )


def _trace(given: str) -> str:
    """The caller's request id if it is plain, or a new one."""
    plain = given.isascii() and given.replace("-", "").replace("_", "").isalnum()
    return given if plain and len(given) <= _TRACE_LENGTH else secrets.token_hex(16)
