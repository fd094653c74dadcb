"""The three grants of the token endpoint: authorization_code, refresh_token, client_credentials."""

from __future__ import annotations

import anyio.from_thread
from authlib.oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import grants

from smart_auth.authlib_bridge.request import ClientView, CodeView, RefreshView
from smart_auth.clients import Client
from smart_auth.errors import InvalidGrantError, InvalidScopeError
from smart_auth.issuing import TokenBody
from smart_auth.scopes import ScopeSet, narrow, parse_scopes
from smart_auth.store import Grant
from smart_auth.users import User


class CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
    """RFC 6749, 4.1.3 with codes that are taken."""

    def query_authorization_code(self, code: str, client: ClientView) -> CodeView:
        issued = anyio.from_thread.run(self.server.ours.vault.redeem_code, code)
        if issued.grant.client_id != client.client.client_id:
            raise InvalidGrantError("the code was issued to another client")
        return CodeView(issued)

    def delete_authorization_code(self, authorization_code: CodeView) -> None:
        """It is gone already: ``query_authorization_code`` took it."""

    def authenticate_user(self, authorization_code: CodeView) -> User:
        return self.server.person(authorization_code.issued.grant.username)  # type: ignore[no-any-return]

    def generate_token(self, user: User, **_: object) -> TokenBody:
        issued = self.request.authorization_code.issued
        client = self.request.client.client
        return _granted(self.server, client, user, issued.grant, issued.grant.scope, issued.nonce)


class RefreshGrant(grants.RefreshTokenGrant):  # type: ignore[misc]
    """RFC 6749, 6 with rotation and detection of reuse (RFC 9700, 4.14.2)."""

    def authenticate_refresh_token(self, refresh_token: str) -> RefreshView:
        grant = anyio.from_thread.run(self.server.ours.vault.find_refresh, refresh_token)
        return RefreshView(grant, refresh_token)

    def _validate_token_scope(self, token: RefreshView) -> None:
        """Refuse what was not granted, by meaning rather than by spelling."""
        asked = self._asked(token)
        if not asked or not parse_scopes(token.grant.scope).includes(asked):
            raise InvalidScopeError("a refresh cannot ask for more than was granted")

    def _asked(self, token: RefreshView) -> ScopeSet:
        return parse_scopes(self.request.payload.scope or token.grant.scope)

    def authenticate_user(self, refresh_token: RefreshView) -> User:
        return self.server.person(refresh_token.grant.username)  # type: ignore[no-any-return]

    def issue_token(self, user: User, refresh_token: RefreshView) -> TokenBody:
        grant = anyio.from_thread.run(self.server.ours.vault.use_refresh, refresh_token.text)
        client = self.request.client.client
        return _granted(self.server, client, user, grant, str(self._asked(refresh_token)), None)

    def revoke_old_credential(self, refresh_token: RefreshView) -> None:
        """It is gone already: ``issue_token`` used it up."""


class ClientCredentialsGrant(grants.ClientCredentialsGrant):  # type: ignore[misc]
    """RFC 6749, 4.4 as SMART Backend Services narrows it."""

    def validate_requested_scope(self) -> None:
        if not self._scopes().resources:
            raise InvalidScopeError("none of the scopes may be granted to this client")

    def generate_token(self, **_: object) -> TokenBody:
        ours = self.server.ours
        return ours.issuer.backend_answer(  # type: ignore[no-any-return]
            self.request.client.client, self._scopes(), self.server.now
        )

    def _scopes(self) -> ScopeSet:
        asked = parse_scopes(self.request.payload.scope or "").at_levels("system")
        granted: ScopeSet = narrow(asked, self.request.client.client.scope)
        return ScopeSet(granted.resources)


def _granted(
    server: AuthorizationServer,
    client: Client,
    person: User,
    grant: Grant,
    scope: str,
    nonce: str | None,
) -> TokenBody:
    ours = server.ours
    scopes = parse_scopes(scope)
    body: TokenBody = ours.issuer.granted_answer(client, grant, scopes, server.now)
    if "openid" in scopes:
        body["id_token"] = ours.issuer.id_token(client, person, grant, scopes, server.now, nonce)
    granted = parse_scopes(grant.scope)
    lasting = "offline_access" in granted or "online_access" in granted
    lasting = lasting and "refresh_token" in client.grant_types
    if lasting:
        body["refresh_token"] = anyio.from_thread.run(ours.vault.issue_refresh, grant, server.now)
    anyio.from_thread.run(ours.granted.note, grant, lasting)
    return body
