"""The launch endpoint: an EHR opens an app (SMART App Launch 2.2, "App Launch: Launch from EHR").

Only a system of the custodian may, with its own access token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from smart_auth.authorization.launch import read_launch
from smart_auth.errors import BearerError, SmartError
from smart_auth.exchange import HttpRequest, HttpResponse, json_response
from smart_auth.store import Launch
from smart_auth.strict_json import read_json
from smart_auth.tokens.bearer import Caller


@dataclass(frozen=True, slots=True)
class EhrLaunch:
    """``[issuer]/launch``.

    Attributes:
        custodian: Whose systems may launch, as a relative reference.
        authenticate: Tells who holds an access token (``SmartServer.authenticate``).
        issue: Makes the launch handle (``SmartServer.create_launch``).
    """

    custodian: str
    authenticate: Callable[[str, datetime], Awaitable[Caller]] = field(repr=False)
    issue: Callable[[Launch], Awaitable[str]] = field(repr=False)
    clock: Callable[[], datetime] = field(repr=False)

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer a context as JSON (``read_launch``) with ``{launch}``: good for that client and user, once."""
        _, _, bearer = request.headers.get("authorization", "").partition(" ")
        try:
            caller = await self.authenticate(bearer, self.clock())
        except SmartError as error:
            return _refused(error)
        return replace(await self._answer(caller, request.body), client=caller.client_id)

    async def _answer(self, caller: Caller, body: bytes) -> HttpResponse:
        if caller.user is not None or self.custodian not in caller.organizations:
            return json_response(403, {"error": "access_denied"})
        try:
            return json_response(201, {"launch": await self.issue(read_launch(_document(body)))})
        except SmartError as error:
            return _refused(error)


def _document(body: bytes) -> object:
    try:
        return read_json(body)
    except ValueError:
        return None


def _refused(error: SmartError) -> HttpResponse:
    asks = (("WWW-Authenticate", f'Bearer error="{error.error}"'),)
    told = {"error": error.error, "error_description": str(error)}
    return json_response(error.status, told, asks if isinstance(error, BearerError) else ())
