"""The only importer of Authlib: its token, introspection and revocation endpoints, completed.

Authlib's server core is synchronous.  It runs in a worker thread, and whatever it needs of the
store goes back to the event loop by ``anyio.from_thread.run``.  What stock Authlib does not do for
SMART is overridden here: client authentication (client_authentication.py), PKCE for confidential
clients too, rotation of refresh tokens with detection of reuse, codes that are taken rather than
looked up, narrowing of scopes by their meaning, and its insistence on its own token generator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import anyio
import anyio.from_thread
import anyio.to_thread
from authlib.oauth2 import AuthorizationServer, OAuth2Request
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7662 import IntrospectionEndpoint

from smart_auth.client_authentication import authenticate_client
from smart_auth.clients import GRANT_TYPES, PUBLIC, Client, ClientRegistry
from smart_auth.errors import (
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuthError,
    UnsupportedGrantTypeError,
)
from smart_auth.exchange import (
    HttpRequest,
    HttpResponse,
    Pairs,
    json_response,
    oauth_error_response,
    single_parameters,
)
from smart_auth.introspection import KnownToken, TokenFinder
from smart_auth.issuing import Issuer, TokenBody
from smart_auth.scopes import ScopeSet, narrow, parse_scopes
from smart_auth.store import Grant, IssuedCode
from smart_auth.users import User, UserRegistry
from smart_auth.vault import Vault


@dataclass(frozen=True, slots=True)
class TokenEndpoints:
    """The endpoints that clients call directly: token, introspection and revocation.

    Attributes:
        at_once: How many requests are worked on at the same time: checking a client secret takes
            64 MiB, and the work is the processor's, so that more threads would not be faster.
    """

    clients: ClientRegistry
    users: UserRegistry
    vault: Vault
    issuer: Issuer
    finder: TokenFinder
    clock: Callable[[], datetime] = field(repr=False)
    at_once: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(8))

    async def token(self, request: HttpRequest) -> HttpResponse:
        """Answer RFC 6749, 3.2: authorization_code, refresh_token and client_credentials."""
        return await self._run(request, _answer_token)

    async def introspect(self, request: HttpRequest) -> HttpResponse:
        """Answer RFC 7662, 2."""
        return await self._run(request, _answer_introspection)

    async def revoke(self, request: HttpRequest) -> HttpResponse:
        """Answer RFC 7009, 2: the token's whole grant ends, whichever of its tokens is sent."""
        return await self._run(request, _answer_revocation)

    async def _run(
        self, request: HttpRequest, answer: Callable[[_Server, _Request], HttpResponse]
    ) -> HttpResponse:
        try:
            prepared = _Request(request, self.issuer.settings.token_endpoint)
            return await anyio.to_thread.run_sync(
                answer, _Server(self), prepared, limiter=self.at_once
            )
        except OAuthError as error:
            return oauth_error_response(error)


def _answer_token(server: _Server, request: _Request) -> HttpResponse:
    if request.payload.grant_type not in GRANT_TYPES:
        raise UnsupportedGrantTypeError("grant_type must be one of the metadata's list")
    response: HttpResponse = server.create_token_response(request)
    return response


def _answer_introspection(server: _Server, request: _Request) -> HttpResponse:
    response: HttpResponse = server.create_endpoint_response("introspection", request)
    return response


def _answer_revocation(server: _Server, request: _Request) -> HttpResponse:
    response: HttpResponse = server.create_endpoint_response("revocation", request)
    return response


class _Request(OAuth2Request):  # type: ignore[misc]
    """Authlib's request over ours; the body's parameters only, none repeated."""

    def __init__(self, request: HttpRequest, url: str) -> None:
        super().__init__(request.method, url, headers=dict(request.headers))
        if request.method != "POST":
            raise InvalidRequestError("the method must be POST")
        if any(name in ("client_secret", "client_assertion", "token") for name, _ in request.query):
            raise InvalidRequestError("secrets must not be in the URL")
        self.parameters = single_parameters(request.form)
        self.payload = BasicOAuth2Payload(self.parameters)

    @property
    def form(self) -> dict[str, str]:
        return self.parameters


class _ClientView:
    """A client as Authlib asks for it."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.client.grant_types


class _CodeView:
    """A redeemed code as Authlib asks for it."""

    def __init__(self, issued: IssuedCode) -> None:
        self.issued = issued
        self.code_challenge = issued.code_challenge
        self.code_challenge_method = "S256"

    def get_redirect_uri(self) -> str:
        return self.issued.redirect_uri

    def get_scope(self) -> str:
        return self.issued.grant.scope


class _RefreshView:
    """A refresh token as Authlib asks for it."""

    def __init__(self, grant: Grant, text: str) -> None:
        self.grant = grant
        self.text = text

    def check_client(self, client: _ClientView) -> bool:
        return self.grant.client_id == client.client.client_id

    def get_scope(self) -> str:
        return self.grant.scope


class _Server(AuthorizationServer):  # type: ignore[misc]
    """Authlib's server for one request: its state is the request's, its rules are ours."""

    def __init__(self, endpoints: TokenEndpoints) -> None:
        super().__init__()
        self.ours = endpoints
        self.now = endpoints.clock()
        self.register_grant(_CodeGrant, [CodeChallenge(required=True)])
        self.register_grant(_RefreshGrant)
        self.register_grant(_ClientCredentialsGrant)
        self.register_endpoint(_Introspection)
        self.register_endpoint(_Revocation)

    def query_client(self, client_id: str) -> _ClientView | None:
        client = self.ours.clients.find(client_id)
        return None if client is None else _ClientView(client)

    def save_token(self, token: TokenBody, request: _Request) -> None:
        """Access tokens are not stored; refresh tokens were when they were made."""

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: _Request) -> _Request:
        return request

    def handle_response(self, status: int, body: Pairs | TokenBody, *_: object) -> HttpResponse:
        return json_response(status, dict(body))

    def authenticate_client(self, request: _Request, *_: object) -> _ClientView:
        """Authenticate as client_authentication.py does; Authlib's own methods are not asked."""
        parameters = self._with_client_of_refresh_token(request)
        client = authenticate_client(
            request.headers,
            parameters,
            self.ours.clients,
            self.ours.issuer.settings.token_endpoint,
            self.now,
            self._remember,
        )
        request.auth_method = "none" if client.kind == PUBLIC else client.kind
        return _ClientView(client)

    def person(self, username: str) -> User:
        person = self.ours.users.find(username)
        if person is None:
            raise InvalidGrantError("the person of this grant is no longer registered")
        return person

    def _remember(self, client_id: str, jti: str, until: datetime) -> None:
        anyio.from_thread.run(self.ours.vault.remember_assertion, client_id, jti, until)

    def _with_client_of_refresh_token(self, request: _Request) -> Mapping[str, str]:
        """Name the client of a refresh token when nothing else does.

        fhirclient.js refreshes without client_id.  Only a public client comes through: any other
        still has to authenticate.
        """
        form = request.parameters
        proofs = ("client_id", "client_assertion", "client_secret")
        if form.get("grant_type") != "refresh_token" or "refresh_token" not in form:
            return form
        if "authorization" in request.headers or any(name in form for name in proofs):
            return form
        grant = anyio.from_thread.run(self.ours.vault.find_refresh, form["refresh_token"])
        return {**form, "client_id": grant.client_id}


class _CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
    """RFC 6749, 4.1.3 with codes that are taken."""

    def query_authorization_code(self, code: str, client: _ClientView) -> _CodeView:
        issued = anyio.from_thread.run(self.server.ours.vault.redeem_code, code)
        if issued.grant.client_id != client.client.client_id:
            raise InvalidGrantError("the code was issued to another client")
        return _CodeView(issued)

    def delete_authorization_code(self, authorization_code: _CodeView) -> None:
        """It is gone already: ``query_authorization_code`` took it."""

    def authenticate_user(self, authorization_code: _CodeView) -> User:
        return self.server.person(authorization_code.issued.grant.username)  # type: ignore[no-any-return]

    def generate_token(self, user: User, **_: object) -> TokenBody:
        issued = self.request.authorization_code.issued
        client = self.request.client.client
        return _granted(self.server, client, user, issued.grant, issued.grant.scope, issued.nonce)


class _RefreshGrant(grants.RefreshTokenGrant):  # type: ignore[misc]
    """RFC 6749, 6 with rotation and detection of reuse (RFC 9700, 4.14.2)."""

    def authenticate_refresh_token(self, refresh_token: str) -> _RefreshView:
        grant = anyio.from_thread.run(self.server.ours.vault.find_refresh, refresh_token)
        return _RefreshView(grant, refresh_token)

    def _validate_token_scope(self, token: _RefreshView) -> None:
        """Refuse what was not granted, by meaning rather than by spelling."""
        asked = self._asked(token)
        if not asked or not parse_scopes(token.grant.scope).includes(asked):
            raise InvalidScopeError("a refresh cannot ask for more than was granted")

    def _asked(self, token: _RefreshView) -> ScopeSet:
        return parse_scopes(self.request.payload.scope or token.grant.scope)

    def authenticate_user(self, refresh_token: _RefreshView) -> User:
        return self.server.person(refresh_token.grant.username)  # type: ignore[no-any-return]

    def issue_token(self, user: User, refresh_token: _RefreshView) -> TokenBody:
        grant = anyio.from_thread.run(self.server.ours.vault.use_refresh, refresh_token.text)
        client = self.request.client.client
        return _granted(self.server, client, user, grant, str(self._asked(refresh_token)), None)

    def revoke_old_credential(self, refresh_token: _RefreshView) -> None:
        """It is gone already: ``issue_token`` used it up."""


class _ClientCredentialsGrant(grants.ClientCredentialsGrant):  # type: ignore[misc]
    """RFC 6749, 4.4 as SMART Backend Services narrows it."""

    def validate_requested_scope(self) -> None:
        if not self._scopes().resources:
            raise InvalidScopeError("none of the scopes may be granted to this client")

    def generate_token(self, **_: object) -> TokenBody:
        ours: TokenEndpoints = self.server.ours
        return ours.issuer.backend_answer(
            self.request.client.client, self._scopes(), self.server.now
        )

    def _scopes(self) -> ScopeSet:
        asked = parse_scopes(self.request.payload.scope or "").at_levels("system")
        granted: ScopeSet = narrow(asked, self.request.client.client.scope)
        return ScopeSet(granted.resources)


class _Introspection(IntrospectionEndpoint):  # type: ignore[misc]
    """RFC 7662: a client may look at its own tokens, the custodian's system at all."""

    def query_token(self, token_string: str, *_: object) -> KnownToken | None:
        return _found(self.server, token_string)

    def check_permission(self, token: KnownToken, client: _ClientView, *_: object) -> bool:
        if client.client.kind == PUBLIC:
            return False
        return client.client.system or token.client_id == client.client.client_id

    def create_introspection_payload(self, token: KnownToken | None) -> dict[str, object]:
        return {"active": False} if token is None else {"active": True, **token.members}


class _Revocation(RevocationEndpoint):  # type: ignore[misc]
    """RFC 7009: whichever token is sent, its whole grant ends."""

    def authenticate_token(self, request: _Request, client: _ClientView) -> KnownToken | None:
        self.check_params(request, client)
        found = _found(self.server, request.form["token"])
        if found is not None and found.client_id != client.client.client_id:
            raise InvalidGrantError("the token was issued to another client")
        return found

    def revoke_token(self, token: KnownToken, *_: object) -> None:
        anyio.from_thread.run(self.server.ours.vault.revocations.revoke, token.grant_id)


def _found(server: _Server, text: str) -> KnownToken | None:
    return anyio.from_thread.run(server.ours.finder.find, text)


def _granted(
    server: _Server, client: Client, person: User, grant: Grant, scope: str, nonce: str | None
) -> TokenBody:
    ours = server.ours
    scopes = parse_scopes(scope)
    body = ours.issuer.granted_answer(client, grant, scopes, server.now)
    if "openid" in scopes:
        body["id_token"] = ours.issuer.id_token(client, person, grant, scopes, server.now, nonce)
    granted = parse_scopes(grant.scope)
    lasting = "offline_access" in granted or "online_access" in granted
    if lasting and "refresh_token" in client.grant_types:
        body["refresh_token"] = anyio.from_thread.run(ours.vault.issue_refresh, grant, server.now)
    return body
