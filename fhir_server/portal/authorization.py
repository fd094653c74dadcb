"""The authorization server over HTTP: routes that translate to ``smart_auth`` and back."""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import orjson
from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute

from fhir_server.errors import FhirError, StoreFullError, StoreLostError
from fhir_server.rest.bodies import read_body
from fhir_server.rest.headers import headers_of, trace_of
from smart_auth.exchange import HttpRequest, HttpResponse, json_response
from smart_auth.server import SmartServer

_MAX_FORM_BYTES = 256 * 1024


class AuthorizationRoutes:
    """Discovery, authorize, token, introspect, revoke and EHR launch."""

    def __init__(
        self,
        smart: Callable[[], SmartServer],
        heed: Callable[[], Awaitable[None]],
    ) -> None:
        """``heed`` returns when this process knows what others have told (``pipeline/heeding.py``)."""
        self._smart = smart
        self.router = APIRouter(
            include_in_schema=False, route_class=_Route, dependencies=[Depends(heed)]
        )
        add = self.router.add_api_route
        for prefix in ("", "/fhir"):
            add(
                f"{prefix}/.well-known/smart-configuration",
                self.smart_configuration,
                response_model=None,
            )
        for prefix in ("", "/auth"):
            add(
                f"{prefix}/.well-known/openid-configuration",
                self.openid_configuration,
                response_model=None,
            )
        add("/auth/jwks", self.jwks, response_model=None)
        add("/auth/smart-style.json", self.style, response_model=None)
        add("/auth/authorize", self.authorize, methods=["GET", "POST"], response_model=None)
        pages = (
            *(("sign-in", self.sign_in), ("account", self.account)),
            *(("apps", self.apps), ("open-app", self.open_app), ("seen", self.seen)),
        )
        for path, page in pages:
            add(f"/auth/{path}", page, methods=["GET", "POST"], response_model=None)
        add("/auth/outside", self.outside, response_model=None)
        add("/auth/passkeys.js", self.passkey_script, response_model=None)
        add("/auth/token", self.token, methods=["POST"], response_model=None)
        add("/auth/introspect", self.introspect, methods=["POST"], response_model=None)
        add("/auth/revoke", self.revoke, methods=["POST"], response_model=None)
        add("/auth/par", self.push, methods=["POST"], response_model=None)
        add("/auth/register", self.register, methods=["POST"], response_model=None)
        add(
            "/auth/register/{client_id}",
            self.manage_client,
            methods=["GET", "PUT", "DELETE"],
            response_model=None,
        )
        add("/auth/launch", self.launch, methods=["POST"], response_model=None)

    async def smart_configuration(self) -> Response:
        """SMART App Launch 2.2, "Conformance"."""
        return _json(200, self._smart().smart_configuration())

    async def openid_configuration(self) -> Response:
        """OpenID Connect Discovery 1.0."""
        return _json(200, self._smart().openid_configuration())

    async def jwks(self) -> Response:
        """RFC 7517, 5."""
        return _json(200, self._smart().jwks())

    async def style(self) -> Response:
        """SMART "smart_style_url"."""
        return _json(200, self._smart().smart_style())

    async def authorize(self, request: Request) -> Response:
        """RFC 6749, 3.1."""
        return await self._to(self._smart().authorize, request)

    async def sign_in(self, request: Request) -> Response:
        """The forms of the sign-in pages."""
        return await self._to(self._smart().sign_in, request)

    async def outside(self, request: Request) -> Response:
        """The way to an outside OpenID provider, and back."""
        return await self._to(self._smart().outside, request)

    async def account(self, request: Request) -> Response:
        """The account page."""
        return await self._to(self._smart().account, request)

    async def apps(self, request: Request) -> Response:
        """What a person granted to apps."""
        return await self._to(self._smart().apps, request)

    async def seen(self, request: Request) -> Response:
        """Who has seen a person's record."""
        return await self._to(self._smart().seen, request)

    async def open_app(self, request: Request) -> Response:
        """A person opens an app on a patient."""
        return await self._to(self._smart().open_app, request)

    async def passkey_script(self) -> Response:
        """The script of the pages that ask for a passkey."""
        return _answer(self._smart().passkey_script())

    async def token(self, request: Request) -> Response:
        """RFC 6749, 3.2."""
        return await self._to(self._smart().token, request)

    async def introspect(self, request: Request) -> Response:
        """RFC 7662."""
        return await self._to(self._smart().introspect, request)

    async def revoke(self, request: Request) -> Response:
        """RFC 7009."""
        return await self._to(self._smart().revoke, request)

    async def push(self, request: Request) -> Response:
        """RFC 9126."""
        return await self._to(self._smart().push, request)

    async def register(self, request: Request) -> Response:
        """RFC 7591."""
        return await self._to(self._smart().register, request)

    async def manage_client(self, request: Request, client_id: str) -> Response:
        """RFC 7592."""
        return await self._to(partial(self._smart().manage_client, client_id=client_id), request)

    async def launch(self, request: Request) -> Response:
        """An EHR opens an app: its context as JSON (``smart_auth/authorization/launch.py``) to ``{launch}``."""
        return await self._to(self._smart().launch, request)

    async def _to(
        self, endpoint: Callable[[HttpRequest], Awaitable[HttpResponse]], request: Request
    ) -> Response:
        """Ask an endpoint; a body that can not be read is refused before, and that is on record, too."""
        asked = _asked(request)
        try:
            body = await read_body(request, _MAX_FORM_BYTES)
        except FhirError as error:
            response = json_response(error.status, _unreadable(error))
            await self._smart().on_record.unread(asked.path.split("/")[2], asked, response)
        else:
            response = await endpoint(_with_body(asked, body))
        return _answer(response, ("X-Request-Id", asked.trace))


class _Route(APIRoute):
    """A route that says in OAuth's words that a body can not be read, or the database not be asked."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        plain = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await plain(request)
            except FhirError as error:
                return _json(error.status, _unreadable(error))
            except (StoreLostError, StoreFullError):
                return _json(503, {"error": "temporarily_unavailable"})

        return handler


def _asked(request: Request) -> HttpRequest:
    """A request without its body."""
    headers = headers_of(request)
    return HttpRequest(
        method=request.method,
        url=str(request.url),
        path=request.url.path,
        headers=headers,
        query=tuple(parse_qsl(request.url.query, keep_blank_values=True)),
        cookies=dict(request.cookies),
        address=request.client.host if request.client else "",
        trace=trace_of(headers),
    )


def _with_body(asked: HttpRequest, body: bytes) -> HttpRequest:
    form: tuple[tuple[str, str], ...] = ()
    if asked.method == "POST":
        form = tuple(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    return replace(asked, form=form, body=body)


def _answer(response: HttpResponse, *more: tuple[str, str]) -> Response:
    answer = Response(response.body, response.status)
    for name, value in (*response.headers, *more):
        answer.headers.append(name, value)
    return answer


def _unreadable(error: FhirError) -> dict[str, str]:
    return {"error": "invalid_request", "error_description": str(error)}


def _json(status: int, content: object) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
