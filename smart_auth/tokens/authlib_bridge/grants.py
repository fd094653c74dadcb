"""The three grants of the token endpoint: authorization_code, refresh_token, client_credentials."""

from __future__ import annotations

from dataclasses import replace

import anyio.from_thread
from authlib.oauth2.rfc6749 import grants

from smart_auth.authorization.scopes import ScopeSet, narrow, parse_scopes
from smart_auth.authorization.support import require_some
from smart_auth.clients.registry import PUBLIC, Client
from smart_auth.errors import InvalidGrantError, InvalidScopeError
from smart_auth.people.users import User
from smart_auth.store import Grant
from smart_auth.tokens.authlib_bridge.request import ClientView, CodeView, RefreshView
from smart_auth.tokens.issuing import TokenBody


class CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
    """RFC 6749, 4.1.3 with codes that are taken."""

    def query_authorization_code(self, code: str, client: ClientView) -> CodeView:
        issued = anyio.from_thread.run(self.server.ours.vault.redeem_code, code)
        if issued.grant.client_id != client.client.client_id:
            raise InvalidGrantError("the code was issued to another client")
        if issued.jkt is not None and issued.jkt != self.request.jkt:
            raise InvalidGrantError("the code is bound to another key (RFC 9449, 10)")
        return CodeView(issued)

    def delete_authorization_code(self, authorization_code: CodeView) -> None:
        """It is gone already: ``query_authorization_code`` took it."""

    def authenticate_user(self, authorization_code: CodeView) -> User:
        return self.server.person(authorization_code.issued.grant.username)  # type: ignore[no-any-return]

    def generate_token(self, user: User, **_: object) -> TokenBody:
        issued = self.request.authorization_code.issued
        client = self.request.client.client
        # a confidential client proves itself at each refresh (RFC 9449, 5)
        bound = self.request.jkt if client.kind == PUBLIC else None
        grant = replace(issued.grant, jkt=bound)
        granted = require_some(parse_scopes(grant.scope), self.server.ours.support)
        body, ours = _answer(self, user, grant, granted, issued.nonce), self.server.ours
        lasting = "offline_access" in granted or "online_access" in granted
        lasting = lasting and "refresh_token" in client.grant_types
        if lasting:
            issue = ours.vault.issue_refresh
            body["refresh_token"] = anyio.from_thread.run(issue, grant, self.server.now)
        anyio.from_thread.run(ours.granted.note, grant, lasting)
        return body


class RefreshGrant(grants.RefreshTokenGrant):  # type: ignore[misc]
    """RFC 6749, 6 with rotation and detection of reuse (RFC 9700, 4.14.2).

    Under FAPI 2.0 (5.3.2.1) tokens are not rotated: a client that proves itself and a key loses its
    access otherwise whenever an answer is lost.
    """

    def authenticate_refresh_token(self, refresh_token: str) -> RefreshView:
        grant = anyio.from_thread.run(self.server.ours.vault.find_refresh, refresh_token)
        if grant.jkt is not None and grant.jkt != self.request.jkt:
            raise InvalidGrantError("the refresh token is bound to another key (RFC 9449, 5)")
        return RefreshView(grant, refresh_token)

    def _validate_token_scope(self, token: RefreshView) -> None:
        """Refuse what was not granted, by meaning rather than by spelling."""
        asked = parse_scopes(self.request.payload.scope or token.grant.scope)
        if not parse_scopes(token.grant.scope).includes(asked) or not self._registered(token):
            raise InvalidScopeError("a refresh cannot ask for more than was granted")
        self._asked(token)

    def _asked(self, token: RefreshView) -> ScopeSet:
        return require_some(self._registered(token), self.server.ours.support)

    def _registered(self, token: RefreshView) -> ScopeSet:
        """What was asked, as far as the client is still registered for it."""
        asked = parse_scopes(self.request.payload.scope or token.grant.scope)
        return narrow(asked, self.request.client.client.scope)

    def authenticate_user(self, refresh_token: RefreshView) -> User:
        return self.server.person(refresh_token.grant.username)  # type: ignore[no-any-return]

    def issue_token(self, user: User, refresh_token: RefreshView) -> TokenBody:
        vault, now = self.server.ours.vault, self.server.now
        if self.request.client.client.fapi:
            grant, next_ = refresh_token.grant, refresh_token.text
            anyio.from_thread.run(vault.prolong_refresh, next_, grant, now)
        else:
            grant = anyio.from_thread.run(vault.use_refresh, refresh_token.text)
            next_ = anyio.from_thread.run(vault.issue_refresh, grant, now)
        body = _answer(self, user, grant, self._asked(refresh_token), None)
        body["refresh_token"] = next_
        anyio.from_thread.run(self.server.ours.granted.note, grant, True)
        return body

    def revoke_old_credential(self, refresh_token: RefreshView) -> None:
        """It is gone already: ``issue_token`` used it up."""


class ClientCredentialsGrant(grants.ClientCredentialsGrant):  # type: ignore[misc]
    """RFC 6749, 4.4 as SMART Backend Services narrows it."""

    def validate_requested_scope(self) -> None:
        self._scopes()

    def generate_token(self, **_: object) -> TokenBody:
        ours = self.server.ours
        return ours.issuer.backend_answer(  # type: ignore[no-any-return]
            self.request.client.client, self._scopes(), self.server.now, self.request.jkt
        )

    def _scopes(self) -> ScopeSet:
        asked = parse_scopes(self.request.payload.scope or "").at_levels("system")
        granted: ScopeSet = narrow(asked, self.request.client.client.scope)
        return require_some(ScopeSet(granted.resources), self.server.ours.support)


def _answer(
    asking: CodeGrant | RefreshGrant,
    person: User,
    grant: Grant,
    scopes: ScopeSet,
    nonce: str | None,
) -> TokenBody:
    """Return the answer that a person's grant gives: access token, launch context, id_token."""
    issuer, now = asking.server.ours.issuer, asking.server.now
    client: Client = asking.request.client.client
    body: TokenBody = issuer.granted_answer(client, grant, scopes, now, asking.request.jkt)
    if "openid" in scopes:
        body["id_token"] = issuer.id_token(client, person, grant, scopes, now, nonce)
    return body
