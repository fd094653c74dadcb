"""The token, introspection and revocation endpoints, each request over an Authlib server of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import anyio
import anyio.from_thread
import anyio.to_thread
from authlib.oauth2 import AuthorizationServer
from authlib.oauth2.rfc7636 import CodeChallenge

from smart_auth.authorization.pushed_requests import keep_pushed, pushed_parameters, require_small
from smart_auth.authorization.support import ScopeSupport
from smart_auth.clients.authentication import Surroundings, authenticate_client, keys_for
from smart_auth.clients.keys import KeyShelf
from smart_auth.clients.registry import GRANT_TYPES, PUBLIC, Client, ClientRegistry
from smart_auth.errors import (
    BearerError,
    InvalidClientError,
    InvalidGrantError,
    InvalidProofError,
    OAuthError,
    UnsupportedGrantTypeError,
)
from smart_auth.exchange import (
    HttpRequest,
    HttpResponse,
    Pairs,
    json_response,
    oauth_error_response,
)
from smart_auth.people.users import User, UserRegistry
from smart_auth.tokens.authlib_bridge.endpoints import Introspection, Revocation
from smart_auth.tokens.authlib_bridge.grants import ClientCredentialsGrant, CodeGrant, RefreshGrant
from smart_auth.tokens.authlib_bridge.request import BridgeRequest, ClientView
from smart_auth.tokens.granted import GrantRegister
from smart_auth.tokens.introspection import TokenFinder
from smart_auth.tokens.issuing import Issuer, TokenBody
from smart_auth.tokens.proof_of_possession import Proofs
from smart_auth.vault import Vault


@dataclass(frozen=True, slots=True)
class TokenEndpoints:
    """The endpoints that clients call directly: token, introspection, revocation, pushed requests.

    Attributes:
        support: Knows which scopes can work.
        at_once: How many requests are worked on at the same time: checking a client secret takes
            64 MiB, and the work is the processor's, so that more threads would not be faster.
    """

    clients: ClientRegistry
    users: UserRegistry
    vault: Vault
    issuer: Issuer
    finder: TokenFinder
    shelf: KeyShelf
    granted: GrantRegister
    proofs: Proofs
    support: ScopeSupport
    clock: Callable[[], datetime] = field(repr=False)
    at_once: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(8))

    async def token(self, request: HttpRequest) -> HttpResponse:
        """Answer RFC 6749, 3.2: authorization_code, refresh_token and client_credentials."""
        return await self._run(request, _answer_token, self.issuer.settings.token_endpoint)

    async def introspect(self, request: HttpRequest) -> HttpResponse:
        """Answer RFC 7662, 2."""
        return await self._run(
            request, _answer_introspection, self.issuer.settings.introspection_endpoint
        )

    async def revoke(self, request: HttpRequest) -> HttpResponse:
        """Answer RFC 7009, 2: the token's whole grant ends, whichever of its tokens is sent."""
        return await self._run(
            request, _answer_revocation, self.issuer.settings.revocation_endpoint
        )

    async def push(self, request: HttpRequest) -> HttpResponse:
        """Answer RFC 9126, 2."""
        return await self._run(request, _answer_push, self.issuer.settings.pushing_endpoint)

    async def _run(
        self,
        request: HttpRequest,
        answer: Callable[[_Server, BridgeRequest], HttpResponse],
        url: str,
    ) -> HttpResponse:
        prepared: BridgeRequest | None = None
        try:
            prepared = BridgeRequest(request, url)
            prepared.keys = await keys_for(prepared.parameters, self.clients, self.shelf)
            response = await anyio.to_thread.run_sync(
                answer, _Server(self), prepared, limiter=self.at_once
            )
        except OAuthError as error:
            refused = oauth_error_response(error)
            return replace(refused, client=prepared.authenticated if prepared else "")
        if prepared.jkt is not None:
            fresh = ("DPoP-Nonce", await self.proofs.nonce(self.clock()))
            response = replace(response, headers=(*response.headers, fresh))
        return replace(response, client=prepared.authenticated)


def _answer_token(server: _Server, request: BridgeRequest) -> HttpResponse:
    if request.payload.grant_type not in GRANT_TYPES:
        raise UnsupportedGrantTypeError("grant_type must be one of the metadata's list")
    response: HttpResponse = server.create_token_response(request)
    return response


def _answer_introspection(server: _Server, request: BridgeRequest) -> HttpResponse:
    response: HttpResponse = server.create_endpoint_response("introspection", request)
    return response


def _answer_revocation(server: _Server, request: BridgeRequest) -> HttpResponse:
    response: HttpResponse = server.create_endpoint_response("revocation", request)
    return response


def _answer_push(server: _Server, request: BridgeRequest) -> HttpResponse:
    require_small(sum(len(name) + len(value) for name, value in request.parameters.items()))
    ours, client = server.ours, server.authenticate_client(request, (), "pushing").client
    asked = pushed_parameters(
        request.parameters, client, ours.clients, ours.issuer.settings, ours.support
    )
    if request.jkt is not None and asked.setdefault("dpop_jkt", request.jkt) != request.jkt:
        raise InvalidProofError("dpop_jkt is not the key of the proof")
    return anyio.from_thread.run(keep_pushed, asked, ours.vault, server.now)


class _Server(AuthorizationServer):  # type: ignore[misc]
    """Authlib's server for one request: its state is the request's, its rules are ours."""

    def __init__(self, endpoints: TokenEndpoints) -> None:
        super().__init__()
        self.ours = endpoints
        self.now = endpoints.clock()
        self.register_grant(CodeGrant, [CodeChallenge(required=True)])
        self.register_grant(RefreshGrant)
        self.register_grant(ClientCredentialsGrant)
        self.register_endpoint(Introspection)
        self.register_endpoint(Revocation)

    def query_client(self, client_id: str) -> ClientView | None:
        client = self.ours.clients.find(client_id)
        return None if client is None else ClientView(client)

    def save_token(self, token: TokenBody, request: BridgeRequest) -> None:
        """Access tokens are not stored; refresh tokens were when they were made."""

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: BridgeRequest) -> BridgeRequest:
        return request

    def handle_response(self, status: int, body: Pairs | TokenBody, *_: object) -> HttpResponse:
        return json_response(status, dict(body))

    def authenticate_client(
        self, request: BridgeRequest, _: object = (), endpoint: str = "token"
    ) -> ClientView:
        """Authenticate as clients/authentication.py does; Authlib's own methods are not asked."""
        scheme = request.headers.get("authorization", "").partition(" ")[0].lower()
        if endpoint == "introspection" and scheme in ("bearer", "dpop"):
            holder = anyio.from_thread.run(self._holder, request, scheme)
            request.authenticated = holder.client_id
            return ClientView(holder)
        parameters = self._with_client_of_refresh_token(request)
        ours = self.ours
        around = Surroundings(
            ours.clients, ours.issuer.settings, request.keys, self.now, self._remember
        )
        client = authenticate_client(request.headers, parameters, around)
        request.authenticated = client.client_id
        request.auth_method = "none" if client.kind == PUBLIC else client.kind
        must = client.bound and endpoint == "token"
        if must or (request.proof.text and endpoint in ("token", "pushing")):
            request.jkt = self._key_proved(request, client)
        return ClientView(client)

    async def _holder(self, request: BridgeRequest, scheme: str) -> Client:
        """Return the backend service whose own access token comes with an introspection request
        (RFC 7662, 2.1; SMART "Token Introspection")."""
        token = request.headers["authorization"].partition(" ")[2].strip()
        try:
            caller = await self.ours.finder.authenticator.authenticate(token, self.now)
        except BearerError as error:
            raise InvalidClientError("the access token of the caller is not good") from error
        if caller.key is not None or scheme == "dpop":
            proved = await self.ours.proofs.require(request.proof, self.now, token=token)
            if proved != caller.key or scheme != "dpop":
                raise InvalidClientError("the caller's access token is bound to another key")
        client = self.ours.clients.find(caller.client_id)
        if client is None or caller.user is not None:
            raise InvalidClientError("the access token of the caller is a person's")
        return client

    def _key_proved(self, request: BridgeRequest, client: Client) -> str:
        require = partial(self.ours.proofs.require, client=client)
        return anyio.from_thread.run(require, request.proof, self.now)

    def person(self, username: str) -> User:
        person = self.ours.users.find(username)
        if person is None:
            raise InvalidGrantError("the person of this grant is no longer registered")
        return person

    def _remember(self, client_id: str, jti: str, until: datetime) -> None:
        anyio.from_thread.run(self.ours.vault.remember_assertion, client_id, jti, until)

    def _with_client_of_refresh_token(self, request: BridgeRequest) -> Mapping[str, str]:
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
