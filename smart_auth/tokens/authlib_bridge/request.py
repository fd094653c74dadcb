"""Requests, clients, codes and refresh tokens as Authlib asks for them."""

from __future__ import annotations

from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload

from smart_auth.clients.registry import Client
from smart_auth.errors import InvalidRequestError
from smart_auth.exchange import HttpRequest, single_parameters
from smart_auth.store import Grant, IssuedCode
from smart_auth.tokens.jwt import ClientKeys
from smart_auth.tokens.proof_of_possession import Sent


class BridgeRequest(OAuth2Request):  # type: ignore[misc]
    """Authlib's request over ours; the body's parameters only, none repeated."""

    def __init__(self, request: HttpRequest, url: str) -> None:
        super().__init__(request.method, url, headers=dict(request.headers))
        if request.method != "POST":
            raise InvalidRequestError("the method must be POST")
        if any(name in ("client_secret", "client_assertion", "token") for name, _ in request.query):
            raise InvalidRequestError("secrets must not be in the URL")
        self.parameters = single_parameters(request.form)
        self.payload = BasicOAuth2Payload(self.parameters)
        self.keys: ClientKeys | None = None  # of the client that the assertion says to be from
        self.proof = Sent(request.headers.get("dpop", ""), ("POST",), url)
        self.jkt: str | None = None  # of the key that the proof was made with
        self.authenticated = ""  # id of the client, once it has proved who it is

    @property
    def form(self) -> dict[str, str]:
        return self.parameters


class ClientView:
    """A client as Authlib asks for it."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.client.grant_types


class CodeView:
    """A redeemed code as Authlib asks for it."""

    def __init__(self, issued: IssuedCode) -> None:
        self.issued = issued
        self.code_challenge = issued.code_challenge
        self.code_challenge_method = "S256"

    def get_redirect_uri(self) -> str:
        return self.issued.redirect_uri

    def get_scope(self) -> str:
        return self.issued.grant.scope


class RefreshView:
    """A refresh token as Authlib asks for it."""

    def __init__(self, grant: Grant, text: str) -> None:
        self.grant = grant
        self.text = text

    def check_client(self, client: ClientView) -> bool:
        return self.grant.client_id == client.client.client_id

    def get_scope(self) -> str:
        return self.grant.scope
