"""Introspection (RFC 7662) and revocation (RFC 7009)."""

from __future__ import annotations

import anyio.from_thread
from authlib.oauth2 import AuthorizationServer
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint

from smart_auth.clients.registry import PUBLIC
from smart_auth.errors import InvalidGrantError, InvalidRequestError
from smart_auth.tokens.authlib_bridge.request import BridgeRequest, ClientView
from smart_auth.tokens.introspection import KnownToken


class Introspection(IntrospectionEndpoint):  # type: ignore[misc]
    """RFC 7662: a confidential client may look at its own tokens; the custodian's system, and what
    the operator registered as a resource server, at all."""

    def check_params(self, request: BridgeRequest, _: ClientView) -> None:
        _require_token(request)

    def query_token(self, token_string: str, *_: object) -> KnownToken | None:
        return _found(self.server, token_string)

    def check_permission(self, token: KnownToken, client: ClientView, *_: object) -> bool:
        if client.client.kind == PUBLIC:
            return False
        looks_at_all = client.client.system or client.client.introspects
        return looks_at_all or token.client_id == client.client.client_id

    def create_introspection_payload(self, token: KnownToken | None) -> dict[str, object]:
        return {"active": False} if token is None else {"active": True, **token.members}


class Revocation(RevocationEndpoint):  # type: ignore[misc]
    """RFC 7009: whichever token is sent, its whole grant ends."""

    def check_params(self, request: BridgeRequest, _: ClientView) -> None:
        _require_token(request)

    def authenticate_token(self, request: BridgeRequest, client: ClientView) -> KnownToken | None:
        self.check_params(request, client)
        found = _found(self.server, request.form["token"])
        if found is not None and found.client_id != client.client.client_id:
            raise InvalidGrantError("the token was issued to another client")
        return found

    def revoke_token(self, token: KnownToken, *_: object) -> None:
        anyio.from_thread.run(self.server.ours.vault.revocations.revoke, token.grant_id)


def _require_token(request: BridgeRequest) -> None:
    """A ``token_type_hint`` is not looked at: both kinds are found without (RFC 7009, 2.1)."""
    if not request.form.get("token"):
        raise InvalidRequestError("token is missing")


def _found(server: AuthorizationServer, text: str) -> KnownToken | None:
    return anyio.from_thread.run(server.ours.finder.find, text)  # type: ignore[no-any-return]
